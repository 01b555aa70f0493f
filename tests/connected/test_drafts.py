"""Drafts and their finals through admission and intake: one command, and the draft decides."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

import pytest

from schemas.jobs import Dialect, GenerationSpec, Job, Tier
from schemas.queue import RowState
from schemas.topics import GENERATION_COMMANDS
from services.accounts import Keys
from services.admission import Admission, Wish
from services.broker import Publisher
from services.commands import CommandReader
from services.drafts import with_finals
from services.engine.catalogue import Catalogue
from services.fairness import Fairness
from services.intake import Intake
from services.mongo import Mongo
from services.outcomes import Outcomes
from services.queue import Queue
from services.settings import ROOT, Settings
from services.signing import HEADER, Signer
from services.slot import Slot
from tests.connected.queue_parts import RememberingPublisher, completed, own_database

pytestmark = pytest.mark.connected

CATALOGUE = Catalogue.load(ROOT / "models" / "models.yaml")
SIGNER = Signer("a master secret of tests")
SPEC = GenerationSpec(prompt="a cat", model="tiny", tier=Tier.DRAFT, width=256, height=256)


@dataclass
class Record:
    """As much of Kafka's as intake reads."""

    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class World:
    def __init__(self, stack: Settings, mongo: Mongo) -> None:
        self.mongo = mongo
        self.publisher = RememberingPublisher()
        publisher = cast(Publisher, self.publisher)
        self.queue = Queue(mongo, stack.generator)
        self.outcomes = Outcomes(self.queue, publisher)
        self.admission = Admission(mongo, publisher, SIGNER, CATALOGUE)
        self.intake = Intake(
            settings=stack,
            reader=CommandReader(SIGNER, Keys(mongo, SIGNER)),
            admission=self.admission,
            fairness=Fairness(mongo, CATALOGUE),
            queue=self.queue,
            outcomes=self.outcomes,
            publisher=publisher,
            slot=Slot(),
        )

    async def drafted(self, images: int) -> list[tuple[Job, Job]]:
        """Each draft with its final, after their command was taken in twice."""
        drafts = [
            Wish(spec=SPEC.model_copy(update={"seed": seed}), dialect=Dialect.BLOG, job_id=uuid4())
            for seed in range(images)
        ]
        admitted = await self.admission.submit(f"test-{uuid4()}", with_finals(drafts))
        commands = [
            value for topic, _, value in self.publisher.sent if topic == GENERATION_COMMANDS.name
        ]
        (command,) = commands
        headers = ((HEADER, SIGNER.sign(command).encode()),)
        for _ in range(2):
            await self.intake.take_in([cast(Any, Record(command, headers))])
        return list(zip(admitted.jobs[:images], admitted.jobs[images:], strict=True))

    async def states(self, jobs: list[Job]) -> list[str]:
        rows = {row["_id"]: row async for row in self.mongo.queue.find()}
        return [rows[job.run]["state"] for job in jobs]


@pytest.fixture
async def world(migrated: Settings) -> AsyncIterator[World]:
    async with own_database(migrated) as mongo:
        yield World(migrated, mongo)


async def test_finals_wait_until_their_own_draft_has_succeeded(world: World) -> None:
    pairs = await world.drafted(2)
    before = await world.states([final for _, final in pairs])

    lease = await world.queue.claim()
    assert lease is not None
    assert await world.outcomes.commit(lease, completed(lease.row))

    assert before == [RowState.WAITING] * 2
    made = [draft.run == lease.row.id for draft, _ in pairs]
    after = await world.states([final for _, final in pairs])
    assert after == [RowState.READY if ended else RowState.WAITING for ended in made]


async def test_all_drafts_are_claimed_before_any_final(world: World) -> None:
    pairs = await world.drafted(3)
    claimed = []
    for _ in range(6):
        lease = await world.queue.claim()
        assert lease is not None
        claimed.append(lease.row)
        await world.outcomes.commit(lease, completed(lease.row))

    drafts, finals = [draft.run for draft, _ in pairs], [final.run for _, final in pairs]
    assert [row.id for row in claimed] == [*drafts, *finals]
    seeds = [row.spec.seed for row in claimed if row.spec]
    assert seeds[:3] == seeds[3:] == [0, 1, 2]


async def test_a_draft_that_is_cancelled_cancels_its_final_alone(world: World) -> None:
    (first, second), (draft, final) = await world.drafted(2)
    row = await world.queue.request_cancel(draft.run, draft.id, draft.project, "not this one")
    assert row is not None

    await world.outcomes.cancel_unleased(row)

    assert world.publisher.kinds(final.id) == ["accepted", "accepted", "cancelled"]
    assert await world.states([draft, final]) == [RowState.DONE] * 2
    assert await world.states([first, second]) == [RowState.READY, RowState.WAITING]
