"""Hits of cached pictures -> their counts, written together a moment later."""

import asyncio
from collections import Counter
from typing import Final

import structlog
from pymongo import UpdateOne

from services.mongo import OUTAGES, Collection

log = structlog.get_logger()

TOGETHER: Final = 0.1  #: seconds that a hit waits for others


class Hits:
    """A picture never waits for its count. A process that dies takes a tenth of a second along."""

    def __init__(self, live: Collection) -> None:
        self._live = live
        self._counted: Counter[str] = Counter()
        self._writing: asyncio.Task[None] | None = None

    def count(self, key: str) -> int:
        """One more of `key`; return how many are not written yet."""
        self._counted[key] += 1
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return self._counted[key]

    async def written(self) -> None:
        """Before the process ends."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while self._counted:
            await asyncio.sleep(TOGETHER)
            batch, self._counted = self._counted, Counter()
            try:
                await self._live.bulk_write(
                    [UpdateOne({"_id": key}, {"$inc": {"hits": n}}) for key, n in batch.items()],
                    ordered=False,
                )
            except OUTAGES as error:  # the next hit tries again
                self._counted.update(batch)
                log.warning("hits_not_written", pictures=len(batch), error=type(error).__name__)
                return
