"""A bell for those who wait for jobs: it says when to look, never what there is to see.

Events tell of an end before the projector has folded it, and a tail that starts or breaks misses
some: answers come from the read model alone, and whoever waits looks now and then unasked.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from typing import Final, Self
from uuid import UUID

from schemas.events import TerminalEvent
from schemas.topics import GENERATION_EVENTS
from services.event_log import EventLog, LogRecord
from services.records import Record, Told, read
from services.redelivery import kept_up
from services.settings import KafkaSettings

PAUSE: Final = timedelta(seconds=1)  #: before a tail that could not be opened is tried again


class Waiters:
    """Reads `generation.events` from the present, without a group, once somebody waits."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._bells: dict[bytes, set[asyncio.Event]] = {}
        self._listening: asyncio.Task[None] | None = None
        self.ready = False  #: from now on an end is heard

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings) -> AsyncIterator[Self]:
        waiters = cls(settings)
        try:
            yield waiters
        finally:
            if waiters._listening is not None:
                waiters._listening.cancel()
                with suppress(asyncio.CancelledError):
                    await waiters._listening

    @contextmanager
    def bell(self, jobs: Iterable[UUID]) -> Iterator[asyncio.Event]:
        """Set when one of `jobs` ends, as often as one does."""
        if self._listening is None:
            self._listening = asyncio.create_task(kept_up(self._listen, "waiters", PAUSE))
        bell = asyncio.Event()
        keys = {str(job).encode() for job in jobs}
        for key in keys:
            self._bells.setdefault(key, set()).add(bell)
        try:
            yield bell
        finally:
            for key in keys:
                self._bells[key].discard(bell)
                if not self._bells[key]:
                    del self._bells[key]

    async def _listen(self) -> None:
        async with EventLog.open(self._settings, (GENERATION_EVENTS,)) as log:
            await log.skip_kept()
            self.ready = True
            try:
                async for record in log.coming():
                    self._ring(record)
            finally:
                self.ready = False

    def _ring(self, record: LogRecord) -> None:
        bells = self._bells.get(record.key or b"")
        if not bells:
            return
        told = read(Record(record.topic, record.offset, record.value))
        if isinstance(told, Told) and isinstance(told.event, TerminalEvent):
            for bell in bells:
                bell.set()
