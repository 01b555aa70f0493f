"""A log as a busy day leaves it: jobs of several runs, of several attempts, told repeatedly."""

from collections.abc import Sequence
from random import Random
from uuid import UUID, uuid4

from schemas.cloudevents import CloudEvent
from schemas.events import GenerationProgress
from schemas.jobs import Job, Progress, Stage
from schemas.queue import QueueRow
from schemas.topics import GENERATION_EVENTS, GENERATION_PROGRESS
from services import run_events
from services.broker import Publisher
from services.mongo import Mongo
from tests.connected.projection_parts import insert_job
from tests.connected.queue_parts import completed, make_row

ENDS = ("completed", "completed", "failed", "cancelled", "goes on")


class Day:
    """What happens is drawn from a seed; ids and times are new each time."""

    def __init__(self, mongo: Mongo, publisher: Publisher, project: str, seed: int) -> None:
        self.jobs: list[Job] = []
        self._mongo = mongo
        self._publisher = publisher
        self._project = project
        self._random = Random(seed)

    async def go_on(self, jobs: int, flow_id: UUID | None = None) -> None:
        for _ in range(jobs):
            job = await insert_job(self._mongo, project=self._project, flow_id=flow_id)
            self.jobs.append(job)
            await self._publish(job, self._life(job))

    async def _publish(self, job: Job, events: Sequence[CloudEvent]) -> None:
        for event in events:
            progress = isinstance(event, GenerationProgress)
            topic = GENERATION_PROGRESS if progress else GENERATION_EVENTS
            for _ in range(self._random.choice((1, 1, 1, 2))):
                await self._publisher.publish(topic, str(job.id), event.encode())

    def _life(self, job: Job) -> list[CloudEvent]:
        events: list[CloudEvent] = []
        for number in range(1, self._random.randint(1, 3) + 1):
            run = job.id if number == 1 else uuid4()
            row = make_row(
                id=run, job=job.id, run_number=number, project=job.project, flow_id=job.flow_id
            )
            end = self._random.choice(ENDS)
            events += self._run(row, end)
            if end == "goes on":
                break
        return events

    def _run(self, row: QueueRow, end: str) -> list[CloudEvent]:
        events: list[CloudEvent] = [run_events.accepted(row, None)]
        for attempt in range(1, self._random.randint(1, 2) + 1):
            row = row.model_copy(update={"attempt": attempt})
            events.append(run_events.started(row, "w"))
            for step in range(self._random.randint(0, 2)):
                seen = Progress(stage=Stage.DENOISING, step=step, steps=4, percent=10 + 20 * step)
                events.append(run_events.progressed(row, seen))
        match end:
            case "completed":
                events.append(completed(row))
            case "failed":
                events.append(run_events.failed(row, "out_of_memory", "12 GiB short"))
            case "cancelled":
                events.append(run_events.cancelled(row, "no longer wanted"))
        return events
