"""API processes beside the tests: forked from one that has imported everything, so that they
start at once and a test may kill many."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess

import httpx2
import uvicorn

from compose.embedded.ports import HOST, draw
from compose.embedded.wiring import environment
from services.settings import Settings
from tests.conditions import until_answered

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["api.app", "uvicorn", __name__])


class ApiProcess:
    def __init__(self, process: ForkServerProcess, url: str) -> None:
        self.process = process
        self.url = url

    async def kill(self) -> None:
        self.process.kill()
        await asyncio.to_thread(self.process.join)


@asynccontextmanager
async def api_process(settings: Settings, **variables: str) -> AsyncIterator[ApiProcess]:
    """Answers when this returns; killed at the latest when its block ends."""
    port = draw(avoid=set())
    given = environment(settings) | {
        "DARKROOM_MONGO__DATABASE": settings.mongo.database,
        "DARKROOM_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
    }
    process = CONTEXT.Process(target=serve, args=(port, given | variables), daemon=True)
    process.start()
    api = ApiProcess(process, f"http://{HOST}:{port}")
    try:
        async with httpx2.AsyncClient(base_url=api.url, timeout=30) as client:
            await until_answered(lambda: _alive(client), 60)
        yield api
    finally:
        await api.kill()


def serve(port: int, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    uvicorn.run("api.app:create_app", factory=True, host=HOST, port=port, log_level="warning")


async def _alive(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/healthz")).status_code == 200
    except httpx2.TransportError:
        return False
