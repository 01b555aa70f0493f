"""One of our processes beside the tests, killed at the latest when its test ends."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from compose.embedded.wiring import environment
from services.settings import ROOT, Settings


@asynccontextmanager
async def process_of(
    module: str, settings: Settings, **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    given = {
        "DARKROOM_MONGO__DATABASE": settings.mongo.database,
        "DARKROOM_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, env=environment(settings) | given | variables, cwd=ROOT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ended(process: asyncio.subprocess.Process, seconds: float = 60) -> int:
    async with asyncio.timeout(seconds):
        return await process.wait()
