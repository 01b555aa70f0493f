"""Records of Kafka in; their fold out, and after it their offsets.

Folding again changes nothing, so that whoever dies between the two is made up for by the next.
A second projector, or one that was paused and thought dead, finds other offsets than it left
(`OffsetsMoved`): what it has folded is true all the same (`projection_documents`).
"""

from collections.abc import Iterable, Sequence
from typing import Final

import structlog
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from schemas.common import Value, now
from services.mongo import Mongo
from services.projection_documents import FAULTS, FoldedDocuments
from services.records import Reading, Record, Told, Unreadable, read

log = structlog.get_logger()

POISON_CODES: Final = frozenset({11000, 10334})  #: DuplicateKey, BSONObjectTooLarge


class OffsetsMoved(Exception):
    """Somebody else has written since: seek to the stored offsets."""


class Applied(Value):
    """What became of records; `missing` counts events of jobs that are not there (any more)."""

    folded: int = 0
    missing: int = 0
    quarantined: int = 0

    def __add__(self, other: "Applied") -> "Applied":
        return Applied(
            folded=self.folded + other.folded,
            missing=self.missing + other.missing,
            quarantined=self.quarantined + other.quarantined,
        )


class ProjectionStore:
    """Kafka's records into `jobs.state`, the facts of generated images and `flows.activity`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._documents = FoldedDocuments(mongo)
        self._next: dict[str, int] = {}  # partition -> the offset to read next

    def forget(self) -> None:
        """Partitions were dealt anew: what was known of them may be old."""
        self._next.clear()
        self._documents.forget()

    async def positions(self, partitions: Iterable[str]) -> dict[str, int]:
        """Where to read on in those not asked for since `forget`; a new one starts at 0."""
        asked = [name for name in partitions if name not in self._next]
        if not asked:
            return {}
        found = {"_id": {"$in": asked}}
        stored = {kept["_id"]: kept["offset"] async for kept in self._mongo.offsets.find(found)}
        if new := [name for name in asked if name not in stored]:
            start = {"$setOnInsert": {"offset": 0}}
            await self._mongo.offsets.bulk_write(
                [UpdateOne({"_id": name}, start, upsert=True) for name in new], ordered=False
            )
        positions = {name: stored.get(name, 0) for name in asked}
        self._next.update(positions)
        return positions

    async def apply(
        self, records: Sequence[Record], readings: Sequence[Reading] | None = None
    ) -> Applied:
        """Fold `records`, each partition in its order; raise `OffsetsMoved` or an outage.

        `readings` are what they were read as, if they were.
        """
        try:
            return await self._write(records, readings or [read(record) for record in records])
        except FAULTS as error:
            if not _blames_a_record(error):
                raise
            return await self._isolate(records, error)

    async def feed_quarantine(self) -> Applied:
        """Try again what was set aside: this version may understand more than the last."""
        applied = Applied()
        async for kept in self._mongo.quarantine.find().sort("_id", 1):
            told = read(Record("", 0, kept["value"]))
            if isinstance(told, Unreadable):
                continue
            try:
                applied += await self._release(kept["_id"], told)
            except FAULTS as error:
                if not _blames_a_record(error):
                    raise
        return applied

    async def _isolate(self, records: Sequence[Record], error: Exception) -> Applied:
        """Halve until the record that breaks its batch stands alone, and set that one aside."""
        if len(records) == 1:
            reason = f"breaks the fold: {type(error).__name__}"
            return await self._write(records, [Unreadable(records[0], reason)])
        middle = len(records) // 2
        return await self.apply(records[:middle]) + await self.apply(records[middle:])

    async def _write(self, records: Sequence[Record], readings: Sequence[Reading]) -> Applied:
        told = [item for item in readings if isinstance(item, Told)]
        unreadable = [item for item in readings if isinstance(item, Unreadable)]
        if unreadable:
            await self._quarantine(unreadable)
        folded = await self._documents.fold(told) if told else 0
        await self._move_offsets({record.partition: record.offset + 1 for record in records})
        for item in unreadable:
            log.error("quarantined", record=item.record.id, reason=item.reason)
        return Applied(folded=folded, missing=len(told) - folded, quarantined=len(unreadable))

    async def _move_offsets(self, after: dict[str, int]) -> None:
        moves = [
            UpdateOne({"_id": name, "offset": self._next.get(name)}, {"$set": {"offset": offset}})
            for name, offset in after.items()
        ]
        moved = await self._mongo.offsets.bulk_write(moves, ordered=False)
        if moved.matched_count != len(moves):
            raise OffsetsMoved
        self._next.update(after)

    async def _quarantine(self, items: Sequence[Unreadable]) -> None:
        inserts = []
        for item in items:
            kept = {"value": item.record.value, "reason": item.reason, "quarantined_at": now()}
            inserts.append(UpdateOne({"_id": item.record.id}, {"$setOnInsert": kept}, upsert=True))
        await self._mongo.quarantine.bulk_write(inserts, ordered=False)

    async def _release(self, kept: str, told: Told) -> Applied:
        folded = await self._documents.fold([told])
        await self._mongo.quarantine.delete_one({"_id": kept})
        log.info("quarantine_released", record=kept)
        return Applied(folded=folded, missing=1 - folded)


def _blames_a_record(error: Exception) -> bool:
    if not isinstance(error, BulkWriteError):
        return True
    failures = (error.details or {}).get("writeErrors", [])
    return bool(failures) and all(failure["code"] in POISON_CODES for failure in failures)
