"""Admission and intake joined by hand: each submit's command is taken in, and nobody generates."""

from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import uuid4

from schemas.jobs import Job
from schemas.topics import GENERATION_COMMANDS
from services.accounts import Keys
from services.admission import Admission, Wish
from services.broker import Publisher
from services.cancels import Cancels
from services.commands import CommandReader
from services.engine.catalogue import Catalogue
from services.fairness import Fairness
from services.intake import Intake
from services.mongo import Mongo
from services.queue import Queue
from services.settings import ROOT, Settings
from services.signing import HEADER, Signer
from services.slot import Slot
from tests.connected.queue_parts import RememberingPublisher, outcomes_of

CATALOGUE: Final = Catalogue.load(ROOT / "models" / "models.yaml")
SIGNER: Final = Signer("a master secret of tests")


@dataclass
class Record:
    """As much of Kafka's as intake reads."""

    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    partition: int = 0
    timestamp: int = 0


class World:
    def __init__(self, stack: Settings, mongo: Mongo) -> None:
        self.mongo = mongo
        self.project = f"test-{uuid4()}"
        self.publisher = RememberingPublisher()
        publisher = cast(Publisher, self.publisher)
        self.queue = Queue(mongo, stack.generator)
        self.outcomes = outcomes_of(mongo, self.queue, publisher)
        self.admission = Admission(mongo, publisher, SIGNER, CATALOGUE)
        self.intake = Intake(
            settings=stack,
            reader=CommandReader(SIGNER, Keys(mongo, SIGNER)),
            admission=self.admission,
            fairness=Fairness(mongo, CATALOGUE),
            queue=self.queue,
            cancels=Cancels(mongo),
            outcomes=self.outcomes,
            publisher=publisher,
            slot=Slot(),
        )

    async def submitted(self, *wishes: Wish) -> tuple[Job, ...]:
        """The jobs of one command, once intake has had it twice."""
        known = len(self.publisher.sent)
        admitted = await self.admission.submit(self.project, wishes)
        sent = self.publisher.sent[known:]
        (command,) = (value for topic, _, value in sent if topic == GENERATION_COMMANDS.name)
        headers = ((HEADER, SIGNER.sign(command).encode()),)
        for _ in range(2):
            await self.intake.take_in([cast(Any, Record(command, headers))])
        return admitted.jobs

    async def states(self, jobs: list[Job]) -> list[str]:
        rows = {row["_id"]: row async for row in self.mongo.queue.find()}
        return [rows[job.run]["state"] for job in jobs]
