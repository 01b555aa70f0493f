"""What the tests of the queue share: rows, events and a publisher that remembers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from schemas.events import EVENTS, GenerationCompleted, GenerationEvent, TerminalEvent
from schemas.images import Picture
from schemas.jobs import GenerationSpec
from schemas.queue import Outcome, QueueRow, RowState
from schemas.topics import GENERATION_EVENTS, Topic
from services import run_events
from services.decisions import Decisions
from services.indexes import COLLECTIONS
from services.mongo import Mongo, open_mongo
from services.outcomes import Outcomes
from services.projection_documents import FoldedDocuments
from services.queue import Lease, Queue
from services.settings import Settings
from services.successors import Successors

SPEC = GenerationSpec(prompt="a red circle", model="tiny", width=64, height=64, seed=1)


@asynccontextmanager
async def own_database(stack: Settings) -> AsyncIterator[Mongo]:
    """A database with its indexes that no other test sees."""
    settings = stack.mongo.model_copy(update={"database": f"test_{uuid4().hex}"})
    async with open_mongo(settings) as mongo:
        for name in ("queue", "jobs", "keys"):
            await mongo.database[name].create_indexes(list(COLLECTIONS[name]))
        yield mongo
        await mongo.client.drop_database(settings.database)


def make_row(**facts: Any) -> QueueRow:
    run = facts.pop("id", None) or uuid4()
    after = facts.get("after", ())
    state = RowState.WAITING if after else RowState.READY
    return QueueRow(
        **{"id": run, "job": run, "project": "demo", "spec": SPEC, "state": state, **facts}
    )


def completed(row: QueueRow) -> GenerationCompleted:
    image = uuid4()
    picture = Picture(
        image_id=image,
        relative_path=f"generated/{image}.png",
        sha256="0" * 64,
        width=64,
        height=64,
        bytes=1,
    )
    return run_events.completed(
        row,
        [picture],
        model="tiny",
        model_sha256="0" * 64,
        queue_seconds=0.0,
        generation_seconds=0.0,
        gpu_seconds=0.0,
        cost=0.0,
        device="cpu",
    )


async def decided(decisions: Decisions, lease: Lease, event: TerminalEvent) -> Outcome | None:
    """Of the leased run, known to a majority."""
    outcome = await decisions.commit(lease, event)
    if outcome is not None:
        await decisions.confirm(lease.row.id, outcome)
    return outcome


def outcomes_of(mongo: Mongo, queue: Queue, publisher: Any) -> Outcomes:
    documents = FoldedDocuments(mongo)
    return Outcomes(queue, Decisions(mongo), Successors(mongo), publisher, documents)


@dataclass
class RememberingPublisher:
    """Kafka for tests: what was published, in order; `outages` are raised first."""

    sent: list[tuple[str, str, bytes]] = field(default_factory=list)
    outages: list[Exception] = field(default_factory=list)

    async def publish(
        self, topic: Topic, key: str, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()
    ) -> None:
        if self.outages:
            raise self.outages.pop()
        self.sent.append((topic.name, key, value))

    def events(self, job: UUID) -> list[GenerationEvent]:
        return [EVENTS.validate_json(value) for value in self.bytes_of(job)]

    def bytes_of(self, job: UUID) -> list[bytes]:
        return [
            value
            for topic, key, value in self.sent
            if topic == GENERATION_EVENTS.name and key == str(job)
        ]

    def kinds(self, job: UUID) -> list[str]:
        return [event.type.split(".")[-2] for event in self.events(job)]
