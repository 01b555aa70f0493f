"""Commands in -> queue rows, `accepted` and `rejected` events; nothing here generates."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from schemas.cloudevents import CloudEvent, event_id, schema_path, second_door_job
from schemas.common import now
from schemas.events import (
    AdmissionError,
    GenerationCancelRequested,
    GenerationRejected,
    GenerationRequested,
    RejectedData,
)
from schemas.jobs import Dialect, Job, RequestedJob
from schemas.queue import QueueRow, RowState
from schemas.topics import GENERATION_EVENTS
from services import metrics, run_events
from services.admission import Admission, Wish
from services.broker import Publisher
from services.cancels import Cancels
from services.commands import CommandReader, Inadmissible, Signed
from services.dead_letters import Record, bury
from services.errors import InvalidRequest, NotFound, UnreadableMessage
from services.fairness import Fairness
from services.outcomes import Outcomes
from services.queue import Lease, Queue
from services.redelivery import waited_out
from services.settings import Settings
from services.slot import Accepted, Slot, Turn, give_back

log = structlog.get_logger()

Tell = Callable[[QueueRow], Accepted]


class Intake:
    """Every step is idempotent: a batch that is delivered again changes nothing."""

    def __init__(  # noqa: PLR0913 - the parts it joins
        self,
        *,
        settings: Settings,
        reader: CommandReader,
        admission: Admission,
        fairness: Fairness,
        queue: Queue,
        cancels: Cancels,
        outcomes: Outcomes,
        publisher: Publisher,
        slot: Slot,
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._admission = admission
        self._fairness = fairness
        self._queue = queue
        self._cancels = cancels
        self._outcomes = outcomes
        self._publisher = publisher
        self._slot = slot

    async def take_in(self, records: Sequence[Record]) -> None:
        """Return when all of `records` may be committed: an outage is waited out, not skipped."""
        jobs: list[Job] = []
        cancels: list[GenerationCancelRequested] = []
        for record in _first_come(records):
            signed = await self._read(record)
            if signed is None:
                continue
            if isinstance(signed.command, GenerationCancelRequested):
                cancels.append(signed.command)
            else:
                jobs += await self._admit(signed, signed.command)
        await self._enqueue(jobs)
        for cancel in cancels:
            await waited_out(partial(self._cancel, cancel), "queue")

    async def _read(self, record: Record) -> Signed | None:
        try:
            return await waited_out(
                lambda: self._reader.read(record.value, tuple(record.headers)), "keys"
            )
        except UnreadableMessage as error:
            unread = error
            await waited_out(
                lambda: bury(self._publisher, record, unread, self._settings.project), "kafka"
            )
        except Inadmissible as refused:
            await self._reject(refused.envelope, refused.errors)
        return None

    async def _admit(self, signed: Signed, command: GenerationRequested) -> Sequence[Job]:
        """The command's jobs; those of the second door get their documents here."""
        if signed.ours:
            return [_own_job(command, requested) for requested in command.data.jobs]
        try:
            jobs = [self._second_door(command, at) for at in range(len(command.data.jobs))]
            jobs = await self._awaiting_runs(command.projectid, jobs)
            return await waited_out(lambda: self._admission.insert_missing(jobs), "mongo")
        except (InvalidRequest, NotFound) as error:
            reason = AdmissionError(pointer=error.pointer, code=error.code, detail=error.message)
            await self._reject(command, (reason,))
            return []

    async def _awaiting_runs(self, project: str, jobs: Sequence[Job]) -> list[Job]:
        """A run that waits for a job that never was, or for itself, would wait for ever."""
        for index, job in enumerate(jobs):
            if {later.id for later in jobs[index:]} & set(job.after):
                message = "A job waits only for jobs that come before it"
                raise InvalidRequest(message, f"/data/jobs/{index}/after")
        runs = {job.id: job.run for job in jobs}
        if awaited := {job for each in jobs for job in each.after} - set(runs):
            runs |= await waited_out(
                lambda: self._admission.current_runs(project, awaited), "mongo"
            )
        for index, job in enumerate(jobs):
            if set(job.after) - set(runs):
                raise InvalidRequest("There is no such job", f"/data/jobs/{index}/after")
        return [
            job.model_copy(update={"after": tuple(runs[each] for each in job.after)})
            for job in jobs
        ]

    def _second_door(self, command: GenerationRequested, index: int) -> Job:
        requested = command.data.jobs[index]
        try:
            wish = Wish(
                spec=requested.spec,
                dialect=Dialect.KAFKA,
                lane=requested.lane,
                flow_id=requested.flow_id,
                alias=requested.alias,
                flow_alias=requested.flow_alias,
                after=requested.after,
                clientref=command.subject,
                traceparent=command.traceparent,
                meta=requested.meta,
            )
            job = second_door_job(command.projectid, command.source, command.id, index)
            return self._admission.admit(command.projectid, wish, job)
        except InvalidRequest as error:
            error.pointer = f"/data/jobs/{index}{error.pointer}"
            raise

    def _row(self, job: Job) -> QueueRow:
        queued_at = now()
        return QueueRow(
            id=job.run,
            job=job.id,
            run_number=job.run_number,
            project=job.project,
            flow_id=job.flow_id,
            lane=run_events.LANES.index(job.lane),
            after=job.after,
            state=RowState.WAITING if job.after else RowState.READY,
            max_attempts=self._settings.generator.max_attempts,
            batch_key=f"{job.spec.model}:{job.spec.width}x{job.spec.height}",
            queued_at=queued_at,
            traceparent=job.traceparent,
            spec=job.spec,
        )

    async def _enqueue(self, jobs: Sequence[Job]) -> None:
        """`accepted` goes out before a row can be claimed, so it comes before `started`."""
        for job in jobs:
            if job.run_number > 1:  # the run before it may have been seen to end, not heard
                await waited_out(partial(self._outcomes.publish_of, job.id), "kafka")
        rows = [self._row(job) for job in jobs]
        references = {job.run: job.clientref for job in jobs}
        told: list[Accepted] = []

        def tell(row: QueueRow) -> Accepted:
            event = run_events.accepted(row, references[row.id])
            told.append(asyncio.ensure_future(self._publish(str(row.job), event)))
            return told[-1]

        try:
            if rows and await self._serve(rows[0], tell):
                rows = rows[1:]
            if rows:
                await self._insert(rows, [tell(row) for row in rows])
            await asyncio.gather(*told)
        finally:
            for telling in told:
                telling.cancel()
        for run in {run for row in rows for run in row.after}:
            await waited_out(partial(self._outcomes.settle, run), "queue")

    async def _insert(self, rows: Sequence[QueueRow], told: Sequence[Accepted]) -> None:
        tagging = waited_out(lambda: self._fairness.tag(rows), "queue")
        tagged, _ = await asyncio.gather(tagging, asyncio.gather(*told))
        for overtaken in await waited_out(lambda: self._queue.enqueue(tagged), "queue"):
            await waited_out(partial(self._outcomes.cancel_unleased, overtaken), "queue")
        self._slot.ring()

    async def _serve(self, row: QueueRow, tell: Tell) -> bool:
        """Lease the run to this worker, whose slot is free, before `accepted` has gone out.

        Nobody else can claim it, and this worker tells of nothing before that has arrived.
        """
        turn = await self._offered(row, tell)
        if turn is None or await turn.leased is None:
            return False
        if self._slot.left(turn):
            await waited_out(lambda: give_back(turn, self._queue), "queue")
        await waited_out(lambda: self._fairness.charge(row), "queue")
        return True

    async def _offered(self, row: QueueRow, tell: Tell) -> Turn | None:
        """The engine may begin while the lease is written: until then it costs nobody a thing."""
        with self._slot.promised() as promise:
            if promise is None or row.after:
                return None
            if not await waited_out(lambda: self._fairness.is_next(row), "queue"):
                return None
            if promise.cancelled():
                return None
            lease = self._queue.first_lease(row)
            turn = Turn(lease, asyncio.ensure_future(self._lease(lease, tell)))
            promise.set_result(turn)
            return turn

    async def _lease(self, lease: Lease, tell: Tell) -> Accepted | None:
        written = await waited_out(lambda: self._queue.insert_leased(lease), "queue")
        return tell(lease.row) if written else None

    async def _cancel(self, command: GenerationCancelRequested) -> None:
        """A run nobody holds ends here; a running one is told by its flag."""
        job, project = command.data.job_id, command.projectid
        run = command.data.run_id or await self._cancels.current_run(job, project) or job
        row = await self._cancels.request(run, job, project, command.data.reason)
        if row is not None and row.state in (RowState.WAITING, RowState.READY):
            await self._outcomes.cancel_unleased(row)

    async def _reject(self, command: CloudEvent, errors: tuple[AdmissionError, ...]) -> None:
        job = second_door_job(command.projectid, command.source, command.id)
        kind = "dev.darkroom.generation.rejected.v1"
        event = GenerationRejected(
            id=event_id(job, kind),
            source=run_events.SOURCE,
            subject=str(job),
            dataschema=schema_path(kind),
            projectid=command.projectid,
            traceparent=command.traceparent,
            data=RejectedData(clientref=command.subject, errors=errors),
        )
        await self._publish(str(job), event)
        metrics.REJECTED.inc()
        log.info("rejected", job_id=str(job), errors=[error.code for error in errors])

    async def _publish(self, key: str, event: CloudEvent) -> None:
        value = event.encode()
        await waited_out(lambda: self._publisher.publish(GENERATION_EVENTS, key, value), "kafka")


def _first_come(records: Sequence[Record]) -> list[Record]:
    """Kafka hands a batch out partition by partition; who submitted first is to be served first.

    A partition's own order stays, whatever the clocks of those who write to it say.
    """
    latest: defaultdict[int, int] = defaultdict(int)  # partition -> timestamp

    def submitted_at(record: Record) -> int:
        latest[record.partition] = max(latest[record.partition], record.timestamp)
        return latest[record.partition]

    return sorted(records, key=submitted_at)


def _own_job(command: GenerationRequested, requested: RequestedJob) -> Job:
    """Our own API's job: its document is there, only the queue's part is read here."""
    assert requested.job_id is not None, "our own commands carry ids"
    return Job(
        id=requested.job_id,
        project=command.projectid,
        dialect=requested.dialect,
        spec=requested.spec,
        run=requested.run_id or requested.job_id,
        run_number=requested.run_number,
        after=requested.after,
        lane=requested.lane,
        flow_id=requested.flow_id,
        traceparent=command.traceparent,
    )
