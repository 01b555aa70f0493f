"""A language model for tests: OpenAI's chat API on loopback, which answers as it is told to."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compose.embedded.ports import HOST, draw
from tests.conditions import until


class ChatEndpoint:
    """`says` is the next prompt; `raw` the whole body; `open` lets answers out."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.says = "a better prompt"
        self.raw: bytes | None = None
        self.status_code = 200
        self.open = asyncio.Event()
        self.open.set()
        self.asked: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []

    async def complete(self, request: Request) -> Response:
        self.headers.append(dict(request.headers))
        self.asked.append(await request.json())
        await self.open.wait()
        message = {"role": "assistant", "content": self.says}
        body = {"id": "1", "object": "chat.completion", "choices": [{"message": message}]}
        content = json.dumps(body).encode() if self.raw is None else self.raw
        return Response(content, self.status_code, media_type="application/json")


@asynccontextmanager
async def chat_endpoint() -> AsyncIterator[ChatEndpoint]:
    port = draw(avoid=set())
    endpoint = ChatEndpoint(f"http://{HOST}:{port}/v1")
    app = Starlette(routes=[Route("/v1/chat/completions", endpoint.complete, methods=["POST"])])
    server = uvicorn.Server(
        uvicorn.Config(app, host=HOST, port=port, log_level="error", timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server._serve())
    try:
        await until(lambda: server.started)
        yield endpoint
    finally:
        endpoint.open.set()
        server.should_exit = True
        await serving
