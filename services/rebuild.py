"""The log from offset 0 -> the documents that it makes, in collections beside the live ones.

The projector's own code folds, so that what is compared is its data, not a second opinion.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Final, Self
from uuid import UUID

import uuid_utils.compat

from schemas.common import now
from schemas.topics import GENERATION_EVENTS, GENERATION_PROGRESS
from services.errors import DarkroomError
from services.event_log import EventLog, LogRecord
from services.indexes import COLLECTIONS
from services.mongo import Document, Mongo
from services.projection_documents import FRESH
from services.projection_store import Applied, OffsetsMoved, ProjectionStore
from services.records import Record
from services.redelivery import waited_out
from services.settings import Settings

Told = Callable[[str, float], None]  #: what is done, and which part of it

FOLDED: Final = (GENERATION_EVENTS, GENERATION_PROGRESS)
PREFIX: Final = "rebuild."
LEFT_AFTER: Final = timedelta(days=1)  #: collections as old are of a rebuild that was killed
SKEW: Final = timedelta(hours=1)  #: of the clocks that gave jobs their `created_at`
PATIENCE: Final = timedelta(seconds=60)  #: with an outage, and with a projector that stands


class NotComparable(DarkroomError):
    """Log and live documents can't be held against each other."""


class Rebuild:
    """Writes nothing but its own collections, which end with it."""

    def __init__(self, live: Mongo, log: EventLog, topic_prefix: str, told: Told) -> None:
        self.id = uuid_utils.compat.uuid7()
        self.live = live
        self.side = live.beside(f"{PREFIX}{self.id}.")
        self.records = 0  #: read
        self.applied = Applied()
        self.progress_whole = True  #: nothing of generation.progress has expired
        self._log = log
        self._topic_prefix = topic_prefix
        self.told = told
        self._store = ProjectionStore(self.side)
        self._seeded_at: datetime | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, live: Mongo, told: Told) -> AsyncIterator[Self]:
        """Raise one of `WAITED_OUT` when a server stays away."""
        await _drop(live, lambda made: now() - made > LEFT_AFTER)
        async with EventLog.open(settings.kafka, FOLDED) as log:
            rebuild = cls(live, log, settings.kafka.topic_prefix, told)
            unique = [index for index in COLLECTIONS["images"] if index.document.get("unique")]
            await rebuild.side.images.create_indexes(unique)  # it can break a fold
            try:
                yield rebuild
            finally:
                own = f"{PREFIX}{rebuild.id}."
                await _drop(live, lambda _: True, own)

    async def catch_up(self) -> None:
        """Return when both have folded all that is on the log now. Raise `NotComparable`.

        A job is inserted before anything is told of it: seeded after the ends were looked up,
        it is there for each of its events.
        """
        kept = await waited_out(self._log.extents, "kafka", PATIENCE)
        self._check(kept, await self._live_offsets())
        await waited_out(self._seed, "mongo", PATIENCE)
        await self._fold(kept)
        await self._await_projector(kept)

    def _check(self, kept: Mapping[str, range], folded: Mapping[str, int]) -> None:
        for name, offsets in kept.items():
            topic = name.rpartition(":")[0].removeprefix(self._topic_prefix)
            if offsets.start and topic == GENERATION_EVENTS.name:
                raise NotComparable(f"{name} begins at offset {offsets.start}: the rest has gone")
            if offsets.start:
                self.progress_whole = False
            if folded.get(name, 0) > offsets.stop:
                told = f"{name} ends at offset {offsets.stop}, and {folded[name]} were folded"
                raise NotComparable(f"{told}: the documents are of another log")

    async def _seed(self) -> None:
        """Every job as it is before its first event."""
        began = now()
        since = {"created_at": {"$gte": self._seeded_at - SKEW}} if self._seeded_at else {}
        fresh = FRESH.model_dump(exclude_none=True)
        into = {"into": self.side.jobs.name, "whenMatched": "keepExisting"}
        stages: list[Document] = [
            {"$match": since},
            {"$project": {"project": 1, "state": {"$literal": fresh}}},
            {"$merge": into},
        ]
        await (await self.live.jobs.aggregate(stages)).to_list(None)
        self._seeded_at = began

    async def _fold(self, kept: Mapping[str, range]) -> None:
        try:
            left = await waited_out(partial(self._left, kept), "mongo", PATIENCE)
            total, read = sum(map(len, left.values())), 0
            async for records in self._log.between(left):
                await waited_out(partial(self._apply, records), "mongo", PATIENCE)
                read += len(records)
                self.told("reading the log", read / total)
        except OffsetsMoved:  # an answer got lost: on from where they stand
            await self._fold(kept)

    async def _left(self, kept: Mapping[str, range]) -> dict[str, range]:
        self._store.forget()
        stood = await self._store.positions(kept)
        left = {
            name: range(max(stood[name], offsets.start), offsets.stop)
            for name, offsets in kept.items()
        }
        return {name: offsets for name, offsets in left.items() if offsets}

    async def _apply(self, records: Sequence[LogRecord]) -> None:
        self.applied += await self._store.apply([self._record(record) for record in records])
        self.records += len(records)

    def _record(self, record: LogRecord) -> Record:
        name = f"{self._topic_prefix}{record.topic}:{record.partition}"
        return Record(name, record.offset, record.value)

    async def _await_projector(self, kept: Mapping[str, range]) -> None:
        behind, moved = 0, monotonic()
        while left := _behind(kept, await self._live_offsets()):
            if left != behind:
                behind, moved = left, monotonic()
            elif monotonic() - moved > PATIENCE.total_seconds():
                raise NotComparable(f"the projector stands {left} records behind the log's end")
            await asyncio.sleep(0.1)

    async def _live_offsets(self) -> dict[str, int]:
        async def read() -> dict[str, int]:
            return {kept["_id"]: kept["offset"] async for kept in self.live.offsets.find()}

        return await waited_out(read, "mongo", PATIENCE)


def _behind(kept: Mapping[str, range], folded: Mapping[str, int]) -> int:
    """Records that the projector has still to fold; what has expired it never will."""
    return sum(
        max(offsets.stop - max(folded.get(name, 0), offsets.start), 0)
        for name, offsets in kept.items()
    )


async def _drop(mongo: Mongo, ours: Callable[[datetime], bool], prefix: str = PREFIX) -> None:
    async def drop() -> None:
        pattern = {"name": {"$regex": f"^{re.escape(prefix)}"}}
        for name in await mongo.database.list_collection_names(filter=pattern):
            if ours(_begun(name)):
                await mongo.database.drop_collection(name)

    await waited_out(drop, "mongo", PATIENCE)


def _begun(name: str) -> datetime:
    """A UUIDv7 begins with its milliseconds (RFC 9562)."""
    made = UUID(name.removeprefix(PREFIX).partition(".")[0]).int >> 80
    return datetime.fromtimestamp(made / 1000, UTC)
