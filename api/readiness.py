"""The parts that the API stands on -> whether each of them answers now."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from schemas.common import Value
from services.broker import BROKER_OUTAGES
from services.errors import DarkroomError
from services.mongo import PyMongoError

FRESH: Final = 1.0  #: seconds that a report is shown again, so that probes cost nothing
PATIENCE: Final = 2.0  #: seconds that a part has to answer

Ping = Callable[[], Awaitable[None]]


class Part(Value):
    ok: bool
    detail: str | None = None


class Report(Value):
    ready: bool
    parts: dict[str, Part]


class Readiness:
    """Asks all parts at once, and never more than once in `FRESH` seconds."""

    def __init__(self, pings: Mapping[str, Ping]) -> None:
        self._pings = pings
        self._asking = asyncio.Lock()
        self._asked = float("-inf")
        self._report = Report(ready=False, parts={})

    async def report(self) -> Report:
        async with self._asking:
            if time.monotonic() - self._asked > FRESH:
                parts = await asyncio.gather(*map(_asked, self._pings.values()))
                named = dict(zip(self._pings, parts, strict=True))
                self._report = Report(ready=all(part.ok for part in parts), parts=named)
                self._asked = time.monotonic()
            return self._report


async def _asked(ping: Ping) -> Part:
    try:
        async with asyncio.timeout(PATIENCE):
            await ping()
    except (*BROKER_OUTAGES, PyMongoError, DarkroomError) as error:
        return Part(ok=False, detail=type(error).__name__)
    return Part(ok=True)
