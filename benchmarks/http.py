"""One keep-alive connection: bytes of a request out, status and body in. Costs microseconds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, Self, cast

HOST: Final = "127.0.0.1"
END_OF_HEAD: Final = b"\r\n\r\n"
LENGTH: Final = b"content-length:"


class Answer(NamedTuple):
    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One request at a time; answers must have a Content-Length, as uvicorn's have."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._waiting: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator[Self]:
        loop = asyncio.get_running_loop()
        transport, connection = await loop.create_connection(cls, HOST, port)
        try:
            yield connection
        finally:
            transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    async def ask(self, request: bytes) -> Answer:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(END_OF_HEAD)
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        body_at = end + len(END_OF_HEAD)
        _, _, after = head.partition(LENGTH)
        length = int(after.partition(b"\r\n")[0])
        if len(self._received) < body_at + length or self._waiting is None:
            return
        body = bytes(self._received[body_at : body_at + length])
        self._received.clear()
        self._waiting.set_result(Answer(int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError(str(error or "closed")))


def post(path: str, key: str, body: bytes) -> bytes:
    head = _head("POST", path, key)
    return (
        f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def get(path: str, key: str) -> bytes:
    return f"{_head('GET', path, key)}\r\n".encode()


def _head(method: str, path: str, key: str) -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {key}\r\n"
