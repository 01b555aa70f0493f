"""A run in -> its one outcome, first by compare-and-set; and which of them the stream lacks."""

from typing import Final
from uuid import UUID

from schemas.common import now
from schemas.events import GenerationCompleted, TerminalEvent
from schemas.queue import Outcome, QueueRow, RowState
from services.errors import Unavailable
from services.mongo import Collection, Document, Mongo, unconfirmed
from services.queue import Lease
from services.queue_rows import from_now

UNPUBLISHED_AFTER: Final = 5.0  #: seconds; then anybody publishes the outcome


class Decisions:
    def __init__(self, mongo: Mongo) -> None:
        self._rows = mongo.queue
        self._unconfirmed_rows = unconfirmed(mongo.queue)

    async def commit(self, lease: Lease, event: TerminalEvent) -> Outcome | None:
        """Decide the run's outcome and return it; whoever gets None publishes nothing.

        A majority need not have it yet: no event of it may go out before `confirm`. A refusal is a
        majority's, so that whoever looks for its reason sees it.
        """
        fence, no_losers = {**lease.mine, "state": RowState.LEASED}, False
        if isinstance(event, GenerationCompleted):
            fence["cancel"] = False
            no_losers = not lease.row.uploads  # before this lease; a release counts no attempt
        for rows in (self._unconfirmed_rows, self._rows):
            if outcome := await self._decide(rows, fence, event, no_losers=no_losers):
                return outcome
        return None

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
        fence = {"_id": row.id, "state": {"$in": unleased}}
        return await self._decide(self._unconfirmed_rows, fence, event)

    async def published(self, run: UUID) -> None:
        await self._rows.update_one({"_id": run}, {"$set": {"published": True}})

    async def unpublished(self, limit: int = 100) -> list[QueueRow]:
        """Outcomes that were decided but, as far as the row knows, not acknowledged."""
        late = {"$lt": ["$outcome.decided_at", from_now(-UNPUBLISHED_AFTER)]}
        cursor = self._rows.find({"state": RowState.DONE, "published": False, "$expr": late}).limit(
            limit
        )
        return [QueueRow.model_validate(row) async for row in cursor]

    async def unpublished_of(self, job: UUID) -> list[QueueRow]:
        found = self._rows.find({"job": job, "state": RowState.DONE, "published": False})
        return [QueueRow.model_validate(row) async for row in found]

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
