"""What the tests of the projection share: a job, its events, and their records."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from schemas.cloudevents import CloudEvent
from schemas.events import (
    AcceptedData,
    CompletedData,
    FailedData,
    GenerationAccepted,
    GenerationCompleted,
    GenerationFailed,
    GenerationProgress,
    GenerationStarted,
    ProgressData,
    StartedData,
)
from schemas.images import Picture
from schemas.jobs import Dialect, GenerationSpec, Job, Stage, Tier
from services.indexes import COLLECTIONS
from services.inserts import job_document
from services.mongo import Mongo, open_mongo
from services.records import Record
from services.settings import Settings

SHA = "0" * 64


@asynccontextmanager
async def projected_database(stack: Settings) -> AsyncIterator[Mongo]:
    """A database with the indexes of what the projector writes, that no other test sees."""
    settings = stack.mongo.model_copy(update={"database": f"test_{uuid4().hex}"})
    async with open_mongo(settings) as mongo:
        for name in ("jobs", "images"):
            await mongo.database[name].create_indexes(list(COLLECTIONS[name]))
        yield mongo
        await mongo.client.drop_database(settings.database)


async def insert_job(mongo: Mongo, **facts: Any) -> Job:
    """As admission does."""
    job = uuid4()
    spec = GenerationSpec(prompt="a red circle", seed=1)
    made = Job(
        **{"id": job, "run": job, "project": "demo", "dialect": Dialect.BLOG, "spec": spec, **facts}
    )
    await mongo.jobs.insert_one(job_document(made))
    return made


async def stored_job(mongo: Mongo, job: UUID) -> Job:
    return Job.model_validate(await mongo.jobs.find_one({"_id": job}))


def envelope(job: Job) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "source": "/test",
        "subject": str(job.id),
        "projectid": job.project,
        "time": job.requested_at,
    }


def accepted(job: Job) -> CloudEvent:
    data = AcceptedData(
        run_id=job.run, model="tiny", tier=Tier.STANDARD, lane="interactive", prompt_sha256=SHA
    )
    return GenerationAccepted(**envelope(job), data=data)


def started(job: Job) -> CloudEvent:
    data = StartedData(run_id=job.run, run_number=job.run_number, attempt=1, worker="w")
    return GenerationStarted(**envelope(job), data=data)


def progress(job: Job, percent: int) -> CloudEvent:
    data = ProgressData(run_id=job.run, attempt=1, stage=Stage.DENOISING, percent=percent)
    return GenerationProgress(**envelope(job), data=data)


def completed(
    job: Job, image: UUID | None = None, path: str | None = None, **facts: Any
) -> CloudEvent:
    image = image or uuid4()
    picture = Picture(
        image_id=image,
        relative_path=path or f"generated/{image}.png",
        sha256=SHA,
        width=8,
        height=8,
        bytes=9,
    )
    data = CompletedData(
        run_id=job.run,
        run_number=job.run_number,
        flow_id=job.flow_id,
        attempt=1,
        tier=Tier.STANDARD,
        model="tiny",
        model_sha256=SHA,
        images=(picture,),
        queue_seconds=0.5,
        generation_seconds=1.5,
        gpu_seconds=1.0,
        cost=0.0,
        device="cpu",
        prompt_sha256=SHA,
        references=job.spec.references,
        preset=job.spec.preset,
    )
    data = data.model_copy(update=facts)
    return GenerationCompleted(**envelope(job), data=data)


def failed(job: Job) -> CloudEvent:
    data = FailedData(
        run_id=job.run, run_number=job.run_number, attempt=1, reason="out_of_memory", message="!"
    )
    return GenerationFailed(**envelope(job), data=data)


def life(job: Job) -> tuple[CloudEvent, ...]:
    return accepted(job), started(job), progress(job, 50), completed(job)


def records(
    messages: Sequence[CloudEvent | bytes], start: int = 0, partition: str = "test:0"
) -> list[Record]:
    return [
        Record(partition, start + place, item if isinstance(item, bytes) else item.encode())
        for place, item in enumerate(messages)
    ]
