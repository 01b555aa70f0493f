"""One commit point for every outcome: decide on the row, show and publish it, settle the rest."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID

import structlog
from pymongo.errors import PyMongoError

from schemas.events import TerminalEvent
from schemas.queue import Outcome, QueueRow, RowState
from schemas.topics import GENERATION_EVENTS
from services import metrics, run_events
from services.broker import BROKER_OUTAGES, Publisher
from services.decisions import Decisions
from services.projection_documents import FAULTS, FoldedDocuments
from services.queue import Lease, Queue
from services.records import Told
from services.successors import Successors

log = structlog.get_logger()

UNFOLDED: Final = (PyMongoError, *FAULTS)  #: the projector makes up for it, or quarantines it
SHOWN_WITHIN: Final = 0.05  #: seconds that the stream waits for those who poll, not longer


class Outcomes:
    """Whoever loses the compare-and-set publishes nothing; whoever wins may die at any line."""

    def __init__(
        self,
        queue: Queue,
        decisions: Decisions,
        successors: Successors,
        publisher: Publisher,
        documents: FoldedDocuments,
    ) -> None:
        self._queue = queue
        self._decisions = decisions
        self._successors = successors
        self._publisher = publisher
        self._documents = documents

    async def commit(self, lease: Lease, event: TerminalEvent) -> bool:
        """Decide a leased run; False when it was cancelled meanwhile or somebody else has it."""
        outcome = await self._decisions.commit(lease, event)
        if outcome is None:
            return False
        await self._after_decision(lease.row, event, outcome)
        return True

    async def foresee(self, row: QueueRow) -> None:
        """An outcome is near: what it will be shown in is read meanwhile."""
        with suppress(*UNFOLDED):
            await self._documents.look(row.job, row.project)

    async def cancel_unleased(self, row: QueueRow) -> None:
        event = run_events.cancelled(
            row, row.cancel_reason or "a job it waited for did not succeed"
        )
        if outcome := await self._decisions.cancel_unleased(row, event):
            await self._after_decision(row, event, outcome)

    async def publish_of(self, job: UUID) -> None:
        """What was decided of a job's runs and is not known to be on the stream."""
        await self._publish_all(await self._decisions.unpublished_of(job))

    async def settle(self, run: UUID) -> None:
        """Free the runs that waited for this one; cancel them when it did not succeed."""
        for doomed in await self._successors.settle_run(run):
            await self.cancel_unleased(doomed)

    async def sweep(self) -> None:
        """What a process that died left: expired leases, unpublished outcomes, unsettled waits."""
        while (row := await self._queue.take_expired()) is not None:
            await self._expired(row)
        for doomed in await self._successors.settle_waiting():
            await self.cancel_unleased(doomed)
        await self._publish_all(await self._decisions.unpublished())  # last: it needs the broker

    async def _expired(self, row: QueueRow) -> None:
        metrics.EXPIRIES.inc()
        log.warning("lease_expired", run_id=str(row.id), job_id=str(row.job), attempt=row.attempt)
        if row.state is not RowState.LEASED:
            return
        if row.cancel:
            event: TerminalEvent = run_events.cancelled(row, row.cancel_reason or "")
        else:
            message = f"The worker died in each of {row.attempt} attempts"
            event = run_events.failed(row, "poison", message)
        await self.commit(Lease(row=row), event)

    async def _after_decision(self, row: QueueRow, event: TerminalEvent, outcome: Outcome) -> None:
        metrics.decided(row, event)
        showing = asyncio.create_task(self._show(row, event))
        try:
            await asyncio.wait({showing}, timeout=SHOWN_WITHIN)
            await self._decisions.confirm(row.id, outcome)
            await self._tell(row, outcome)
            await self.settle(row.id)
            await showing
        finally:
            showing.cancel()

    async def _show(self, row: QueueRow, event: TerminalEvent) -> None:
        """Whoever polls need not wait for Kafka and the projector, which folds it again."""
        try:
            await self._documents.fold([Told(row.job, event)])
        except UNFOLDED as error:
            log.warning("not_shown", run_id=str(row.id), error=type(error).__name__)

    async def _tell(self, row: QueueRow, outcome: Outcome) -> None:
        try:
            await self._publish(row, outcome)
        except BROKER_OUTAGES as error:  # the sweep publishes it
            log.warning("outcome_delayed", run_id=str(row.id), error=type(error).__name__)

    async def _publish_all(self, rows: Sequence[QueueRow]) -> None:
        for row in rows:
            assert row.outcome is not None, "only decided rows are unpublished"
            await self._publish(row, row.outcome)

    async def _publish(self, row: QueueRow, outcome: Outcome) -> None:
        await self._publisher.publish(GENERATION_EVENTS, str(row.job), outcome.event)
        await self._decisions.published(row.id)
