"""Runs wait, are leased and get one outcome each; every change is a compare-and-set.

The clock is the server's (`$$NOW`), so that workers need not agree on the time.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID, uuid4

from pymongo import ReturnDocument, UpdateOne

from schemas.common import Value, now
from schemas.events import GenerationCompleted, TerminalEvent
from schemas.jobs import Lane
from schemas.queue import Outcome, QueueRow, RowState
from services.errors import Unavailable
from services.mongo import Collection, Document, Mongo, unconfirmed
from services.settings import GeneratorSettings

SWEPT_AFTER: Final = 60.0  #: seconds; longer than an upload that goes on after its lease
UNPUBLISHED_AFTER: Final = 5.0  #: seconds; then anybody publishes the outcome


class Lease(Value):
    """One worker's timed claim of a run; `row.owner` is its nonce, `row.attempt` its fence."""

    row: QueueRow

    @property
    def mine(self) -> Document:
        return {"_id": self.row.id, "owner": self.row.owner, "attempt": self.row.attempt}


class Queue:
    def __init__(self, mongo: Mongo, settings: GeneratorSettings) -> None:
        self._rows = mongo.queue
        self._unconfirmed_rows = unconfirmed(mongo.queue)
        self._settings = settings

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
        if there_before and await self._drop_foreign_cancels(rows):
            await self._rows.bulk_write(inserts, ordered=False)
        if awaited := {run for row in rows for run in row.after}:
            await self._settle(awaited)
        return await self._overtaken(rows) if there_before else []

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

    async def commit(self, lease: Lease, event: TerminalEvent) -> Outcome | None:
        """Decide the run's outcome and return it; whoever gets None publishes nothing.

        A majority need not have it yet: nothing may leave this system before `confirm`.
        """
        fence = {**lease.mine, "state": RowState.LEASED}
        rows = self._unconfirmed_rows
        if not isinstance(event, GenerationCompleted):
            return await self._decide(rows, fence, event)
        only_winners = not lease.row.uploads  # before this lease; a release counts no attempt
        return await self._decide(rows, {**fence, "cancel": False}, event, no_losers=only_winners)

    async def confirm(self, run: UUID, outcome: Outcome) -> None:
        """Return once a majority has the outcome; raise `Unavailable` where a failing server
        has forgotten it: then the run is to be decided again."""
        same = {"outcome.type": outcome.type}
        found = await self._rows.update_one(  # it waits as long as if it had changed something
            {"_id": run, "outcome.event": outcome.event}, {"$set": same}
        )
        if found.matched_count == 0:
            raise Unavailable("An outcome was lost with its server")

    async def cancel_unleased(self, row: QueueRow, event: TerminalEvent) -> Outcome | None:
        """Decide a run that nobody holds; None when a worker has it or it has an outcome."""
        unleased = [RowState.OVERTAKEN, RowState.WAITING, RowState.READY]
        return await self._decide(self._rows, {"_id": row.id, "state": {"$in": unleased}}, event)

    async def request_cancel(
        self, run: UUID, job: UUID, project: str, reason: str
    ) -> QueueRow | None:
        """Flag the run and return it; a run that is not there yet leaves its flag for later.

        None when the run is another job's or another project's.
        """
        flags = {"cancel": True, "cancel_reason": reason}
        stub = QueueRow(id=run, job=job, project=project, state=RowState.OVERTAKEN, **flags)
        document = {**row_document(stub), "ended_at": now()}  # it may wait for nothing
        await self._rows.update_one(
            {"_id": document.pop("_id")}, {"$setOnInsert": document}, upsert=True
        )
        row = await self._rows.find_one_and_update(
            {"_id": run, "job": job, "project": project},
            {"$set": flags},
            return_document=ReturnDocument.AFTER,
        )
        return QueueRow.model_validate(row) if row else None

    async def current_run(self, job: UUID, project: str) -> UUID | None:
        """The latest run of a job, for a cancel that names none."""
        row = await self._rows.find_one(
            {"job": job, "project": project}, {"_id": 1}, sort=[("run_number", -1)]
        )
        return row["_id"] if row else None

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

    async def aged(self, limit: int = 50) -> list[QueueRow]:
        """Runs that have waited so long that they belong in a more urgent lane."""
        patience = self._settings.ageing.total_seconds()
        last = len(Lane) - 1
        old = [
            {
                "lane": lane,
                "$expr": {"$lt": ["$queued_at", _from_now(-patience * (last - lane + 1))]},
            }
            for lane in range(1, last + 1)
        ]
        found = self._rows.find({"state": RowState.READY, "$or": old}).limit(limit)
        return [QueueRow.model_validate(row) async for row in found]

    async def move(self, row: QueueRow, lane: int, vft: float) -> None:
        """To another lane, unless it was claimed or moved meanwhile."""
        here = {"_id": row.id, "state": RowState.READY, "lane": row.lane}
        await self._rows.update_one(here, {"$set": {"lane": lane, "vft": vft}})

    async def with_uploads(self, limit: int = 100) -> list[QueueRow]:
        """Decided runs whose object keys nobody has gone through yet."""
        late = {"$lt": ["$ended_at", _from_now(-SWEPT_AFTER)]}
        found = self._rows.find(
            {"state": RowState.DONE, "uploads.0": {"$exists": True}, "$expr": late}
        )
        return [QueueRow.model_validate(row) async for row in found.limit(limit)]

    async def uploads_swept(self, row: QueueRow) -> None:
        await self._rows.update_one(
            {"_id": row.id, "state": RowState.DONE}, {"$set": {"uploads": []}}
        )

    async def published(self, run: UUID) -> None:
        await self._rows.update_one({"_id": run}, {"$set": {"published": True}})

    async def unpublished(self, limit: int = 100) -> list[QueueRow]:
        """Outcomes that were decided but, as far as the row knows, not acknowledged."""
        late = {"$lt": ["$outcome.decided_at", _from_now(-UNPUBLISHED_AFTER)]}
        cursor = self._rows.find({"state": RowState.DONE, "published": False, "$expr": late}).limit(
            limit
        )
        return [QueueRow.model_validate(row) async for row in cursor]

    async def unpublished_of(self, job: UUID) -> list[QueueRow]:
        found = self._rows.find({"job": job, "state": RowState.DONE, "published": False})
        return [QueueRow.model_validate(row) async for row in found]

    async def settle_run(self, run: UUID) -> list[QueueRow]:
        """After a run's outcome: free the runs that waited for it, return those to cancel."""
        waiting = {"state": RowState.WAITING, "after": run}
        if await self._rows.find_one(waiting, {"_id": 1}) is None:
            return []
        return await self._settle({run})

    async def settle_waiting(self) -> list[QueueRow]:
        """The net under `settle_run`: a crash between an outcome and its consequences."""
        return await self._settle(
            set(await self._rows.distinct("after", {"state": RowState.WAITING}))
        )

    async def _settle(self, runs: set[UUID]) -> list[QueueRow]:
        """Waiting runs lose what has succeeded from `after`; ready when nothing is left."""
        ended = {"_id": {"$in": list(runs)}, "outcome": {"$ne": None}}
        succeeded: set[UUID] = set()
        lost: set[UUID] = set()
        async for row in self._rows.find(ended, {"outcome.type": 1}):
            good = row["outcome"]["type"].endswith(".completed.v1")
            (succeeded if good else lost).add(row["_id"])
        if succeeded:
            await self._rows.update_many(
                {"state": RowState.WAITING, "after": {"$in": list(succeeded)}},
                {"$pull": {"after": {"$in": list(succeeded)}}},
            )
        await self._rows.update_many(
            {"state": RowState.WAITING, "after": []}, {"$set": {"state": RowState.READY}}
        )
        doomed = {"state": RowState.WAITING, "after": {"$in": list(lost - succeeded)}}
        return [QueueRow.model_validate(row) async for row in self._rows.find(doomed)]

    async def _overtaken(self, rows: Sequence[QueueRow]) -> list[QueueRow]:
        """What the request says of the run, with what the cancel said."""
        asked = {row.id: row for row in rows}
        found = self._rows.find({"_id": {"$in": list(asked)}, "state": RowState.OVERTAKEN})
        stubs = [QueueRow.model_validate(stub) async for stub in found]
        kept = ("state", "cancel", "cancel_reason")
        return [
            asked[stub.id].model_copy(update={name: getattr(stub, name) for name in kept})
            for stub in stubs
        ]

    async def _drop_foreign_cancels(self, rows: Sequence[QueueRow]) -> bool:
        """Ids of the second door can be guessed: nobody cancels another project's run ahead."""
        foreign = [
            {
                "_id": row.id,
                "state": RowState.OVERTAKEN,
                "$nor": [{"job": row.job, "project": row.project}],
            }
            for row in rows
        ]
        dropped = await self._rows.delete_many({"$or": foreign})
        return dropped.deleted_count > 0

    async def _decide(
        self, rows: Collection, fence: Document, event: TerminalEvent, *, no_losers: bool = False
    ) -> Outcome | None:
        outcome = Outcome(type=event.type, event=event.encode(), decided_at=now())
        decided = await rows.update_one(
            {**fence, "outcome": None},
            {
                "$set": {
                    "state": RowState.DONE,
                    "outcome": outcome.model_dump(),
                    "owner": None,
                    "lease_until": None,
                    "ended_at": outcome.decided_at,
                    **({"uploads": []} if no_losers else {}),
                },
                "$unset": {"spec": ""},
            },
        )
        return outcome if decided.modified_count == 1 else None

    def _lease_end(self) -> Document:
        return _from_now(self._settings.lease.total_seconds())

    def _backoff_end(self) -> Document:
        """First backoff, then doubled with each attempt, at most 1,024 times."""
        first = self._settings.backoff.total_seconds() * 1000
        doublings = {"$min": [{"$subtract": ["$attempt", 1]}, 10]}
        return {"$add": ["$$NOW", {"$multiply": [first, {"$pow": [2, doublings]}]}]}


def row_document(row: QueueRow) -> dict[str, Any]:
    document = row.model_dump(by_alias=True)
    document["after"] = list(row.after)
    return document


def _from_now(seconds: float) -> Document:
    return {"$add": ["$$NOW", int(seconds * 1000)]}
