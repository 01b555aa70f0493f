"""Rows come in, are claimed, and their leases renewed, given back or taken when they have expired.

Every change is a compare-and-set.
"""

from collections.abc import Sequence
from uuid import UUID, uuid4

from pymongo import ReturnDocument, UpdateOne

from schemas.common import Value
from schemas.queue import QueueRow, RowState
from services.cancels import Cancels
from services.mongo import Document, Mongo
from services.queue_rows import from_now, row_document
from services.settings import GeneratorSettings
from services.successors import Successors


class Lease(Value):
    """One worker's timed claim of a run; `row.owner` is its nonce, `row.attempt` its fence."""

    row: QueueRow

    @property
    def mine(self) -> Document:
        return {"_id": self.row.id, "owner": self.row.owner, "attempt": self.row.attempt}


class Queue:
    def __init__(self, mongo: Mongo, settings: GeneratorSettings) -> None:
        self._rows = mongo.queue
        self._settings = settings
        self._cancels = Cancels(mongo)
        self._successors = Successors(mongo)

    async def enqueue(self, rows: Sequence[QueueRow]) -> list[QueueRow]:
        """Insert rows that are not there yet; return those whose cancel came first."""
        if not rows:
            return []
        inserts = []
        for row in rows:
            document = row_document(row)
            inserts.append(
                UpdateOne({"_id": document.pop("_id")}, {"$setOnInsert": document}, upsert=True)
            )
        written = await self._rows.bulk_write(inserts, ordered=False)
        there_before = written.upserted_count < len(rows)
        if there_before and await self._cancels.drop_foreign(rows):
            await self._rows.bulk_write(inserts, ordered=False)
        if awaited := {run for row in rows for run in row.after}:
            await self._successors.settle(awaited)
        return await self._cancels.overtaken(rows) if there_before else []

    async def claim(self, full: Sequence[str] = ()) -> Lease | None:
        """Take the most urgent run; its attempt rises now, so that a crash counts.

        `full`: the projects that may not have another lease now.
        """
        ready: Document = {"state": RowState.READY, "$expr": {"$lte": ["$due", "$$NOW"]}}
        if full:
            ready["project"] = {"$nin": list(full)}
        document = await self._rows.find_one_and_update(
            ready,
            [
                {
                    "$set": {
                        "state": RowState.LEASED,
                        "owner": uuid4().hex,
                        "lease_until": self._lease_end(),
                        "attempt": {"$add": ["$attempt", 1]},
                    }
                }
            ],
            sort=[("lane", 1), ("vft", 1)],
            return_document=ReturnDocument.AFTER,
        )
        return Lease(row=QueueRow.model_validate(document)) if document else None

    def first_lease(self, row: QueueRow) -> Lease:
        """What `insert_leased` writes."""
        return Lease(
            row=row.model_copy(
                update={"state": RowState.LEASED, "owner": uuid4().hex, "attempt": 1}
            )
        )

    async def insert_leased(self, lease: Lease) -> bool:
        """Insert a row and claim it in one write; False when somebody else has it already."""
        document = {"$literal": row_document(lease.row)}  # a prompt may begin with "$"
        new = {"$mergeObjects": [document, {"lease_until": self._lease_end()}]}
        there = {"$ne": [{"$type": "$state"}, "missing"]}
        written = await self._rows.update_one(
            {"_id": lease.row.id},
            [{"$replaceWith": {"$cond": [there, "$$ROOT", new]}}],
            upsert=True,
        )
        return written.upserted_id is not None or await self.renew(lease)  # its answer got lost

    async def renew(self, lease: Lease) -> bool:
        """Hold on for another lease; False when somebody else may have the run."""
        renewed = await self._rows.update_one(
            {**lease.mine, "state": RowState.LEASED},
            [{"$set": {"lease_until": self._lease_end()}}],
        )
        return renewed.matched_count == 1

    async def abandon(self, lease: Lease) -> None:
        """End the lease now: the sweep counts this attempt and decides what follows."""
        await self._rows.update_one(
            {**lease.mine, "outcome": None}, [{"$set": {"lease_until": "$$NOW"}}]
        )

    async def release(self, lease: Lease) -> None:
        """Give the run back unharmed: this attempt does not count."""
        await self._rows.update_one(
            {**lease.mine, "outcome": None},
            {
                "$set": {"state": RowState.READY, "owner": None, "lease_until": None},
                "$inc": {"attempt": -1},
            },
        )

    async def cancelled(self, leases: Sequence[Lease]) -> dict[UUID, str]:
        """Which of the leased runs are to stop, and why: one query for all of a worker's."""
        wanted = {"_id": {"$in": [lease.row.id for lease in leases]}, "cancel": True}
        found = self._rows.find(wanted, {"cancel_reason": 1})
        return {row["_id"]: row.get("cancel_reason") or "" async for row in found}

    async def note_uploads(self, lease: Lease, keys: Sequence[str]) -> bool:
        """Write down object keys before their upload, so that a loser's are found and swept."""
        noted = await self._rows.update_one(
            {**lease.mine, "outcome": None}, {"$addToSet": {"uploads": {"$each": list(keys)}}}
        )
        return noted.matched_count == 1

    async def take_expired(self) -> QueueRow | None:
        """A run whose worker is gone: ready again after a backoff, or returned to be failed."""
        expired = {
            "state": RowState.LEASED,
            "outcome": None,
            "$expr": {"$lt": ["$lease_until", "$$NOW"]},
        }
        spent = {"$or": [{"$gte": ["$attempt", "$max_attempts"]}, "$cancel"]}
        document = await self._rows.find_one_and_update(
            expired,
            [
                {
                    "$set": {
                        "state": {"$cond": [spent, RowState.LEASED, RowState.READY]},
                        "owner": uuid4().hex,
                        "lease_until": self._lease_end(),
                        "due": self._backoff_end(),
                    }
                }
            ],
            return_document=ReturnDocument.AFTER,
        )
        return QueueRow.model_validate(document) if document else None

    def _lease_end(self) -> Document:
        return from_now(self._settings.lease.total_seconds())

    def _backoff_end(self) -> Document:
        """First backoff, then doubled with each attempt, at most 1,024 times."""
        first = self._settings.backoff.total_seconds() * 1000
        doublings = {"$min": [{"$subtract": ["$attempt", 1]}, 10]}
        return {"$add": ["$$NOW", {"$multiply": [first, {"$pow": [2, doublings]}]}]}
