"""The loader's own client: whole answers, closed connections, refusals that are counted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from benchmarks.http import HOST, Connection, get, post
from benchmarks.load import Order, put_to_work

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[int]:
    listening = await asyncio.start_server(talk, HOST, 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


def answers(*pieces: bytes) -> Talk:
    """Every request gets the pieces one by one."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        writer.close()

    return talk


async def test_an_answer_in_pieces_is_put_together() -> None:
    pieces = (b"HTTP/1.1 202 Acc", b"epted\r\nContent-", b"Length: 4\r\n\r\nab", b"cd")
    async with server(answers(*pieces)) as port, Connection.open(port) as connection:
        first = await connection.ask(get("/", "key"))
        second = await connection.ask(get("/", "key"))

    assert first == second == (202, b"abcd")


async def test_a_request_on_a_closed_connection_is_an_error_and_not_a_wait() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with server(hang_up) as port, Connection.open(port) as connection:
        for _ in range(2):
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(connection.ask(get("/", "key")), 5)


async def test_answers_other_than_202_are_counted_as_refused() -> None:
    async with server(answers(b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n")) as port:
        order = Order(port=port, path="/", key="k", body="{}", connections=3, seconds=0.05)
        load = await put_to_work(order)

    assert load.requests >= 3
    assert load.refused == load.requests
    assert load.p50_ms <= load.p99_ms


def test_a_post_says_how_long_its_body_is() -> None:
    assert post("/x", "k", b"{}").endswith(b"\r\nContent-Length: 2\r\n\r\n{}")
