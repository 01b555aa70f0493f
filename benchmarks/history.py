"""A number of jobs in -> their documents, and the records of their events as Kafka keeps them."""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final
from uuid import uuid4

import uuid_utils.compat

from schemas.cloudevents import CloudEvent
from schemas.images import Picture
from schemas.jobs import Dialect, GenerationSpec, Job
from schemas.queue import QueueRow
from services import run_events
from services.records import Record

TOGETHER: Final = 20  #: jobs that are under way at the same time
PARTITION: Final = "bench.generation.events:0"
SHA: Final = "0" * 64
EVENTS: Final = 3  #: a job: accepted, started, completed

_offsets = count()


def new_jobs(number: int, project: str) -> list[Job]:
    spec = GenerationSpec(prompt="a red circle on a blue background", model="tiny", seed=1)
    ids = (uuid_utils.compat.uuid7() for _ in range(number))
    return [
        Job(id=job, run=job, project=project, dialect=Dialect.BLOG, spec=spec, published=True)
        for job in ids
    ]


def records(jobs: Sequence[Job]) -> list[Record]:
    """As from a broker: the events of `TOGETHER` jobs are mixed."""
    told = []
    for start in range(0, len(jobs), TOGETHER):
        histories = [list(_events(job)) for job in jobs[start : start + TOGETHER]]
        told += [event for step in zip(*histories, strict=True) for event in step]
    return [Record(PARTITION, next(_offsets), event.encode()) for event in told]


def _events(job: Job) -> Iterator[CloudEvent]:
    row = QueueRow(id=job.run, job=job.id, project=job.project, attempt=1, spec=job.spec)
    yield run_events.accepted(row, None)
    yield run_events.started(row, "bench")
    image = uuid4()
    picture = Picture(
        image_id=image,
        relative_path=f"generated/{image}.png",
        sha256=SHA,
        width=512,
        height=512,
        bytes=300_000,
        seed=1,
    )
    yield run_events.completed(
        row,
        [picture],
        model="tiny",
        model_sha256=SHA,
        queue_seconds=0.1,
        generation_seconds=1.0,
        gpu_seconds=0.9,
        cost=0.0,
        device="cpu",
    )
