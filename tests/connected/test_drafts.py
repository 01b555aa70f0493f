"""Drafts and their finals through admission and intake: one command, and the draft decides."""

from collections.abc import AsyncIterator
from typing import Final
from uuid import uuid4

import pytest

from schemas.jobs import Dialect, GenerationSpec, Job, Tier
from schemas.queue import RowState
from services.admission import Wish
from services.cancels import Cancels
from services.drafts import with_finals
from services.settings import Settings
from tests.connected.intake_parts import World
from tests.connected.queue_parts import completed, own_database

pytestmark = pytest.mark.connected

SPEC: Final = GenerationSpec(prompt="a cat", model="tiny", tier=Tier.DRAFT, width=256, height=256)


@pytest.fixture
async def world(migrated: Settings) -> AsyncIterator[World]:
    async with own_database(migrated) as mongo:
        yield World(migrated, mongo)


async def drafted(world: World, images: int) -> list[tuple[Job, Job]]:
    """Each draft with its final."""
    drafts = [
        Wish(spec=SPEC.model_copy(update={"seed": seed}), dialect=Dialect.BLOG, job_id=uuid4())
        for seed in range(images)
    ]
    jobs = await world.submitted(*with_finals(drafts))
    return list(zip(jobs[:images], jobs[images:], strict=True))


async def test_finals_wait_until_their_own_draft_has_succeeded(world: World) -> None:
    pairs = await drafted(world, 2)
    before = await world.states([final for _, final in pairs])

    lease = await world.queue.claim()
    assert lease is not None
    assert await world.outcomes.commit(lease, completed(lease.row))

    assert before == [RowState.WAITING] * 2
    made = [draft.run == lease.row.id for draft, _ in pairs]
    after = await world.states([final for _, final in pairs])
    assert after == [RowState.READY if ended else RowState.WAITING for ended in made]


async def test_all_drafts_are_claimed_before_any_final(world: World) -> None:
    pairs = await drafted(world, 3)
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
    (first, second), (draft, final) = await drafted(world, 2)
    row = await Cancels(world.mongo).request(draft.run, draft.id, draft.project, "not this one")
    assert row is not None

    await world.outcomes.cancel_unleased(row)

    assert world.publisher.kinds(final.id) == ["accepted", "accepted", "cancelled"]
    assert await world.states([draft, final]) == [RowState.DONE] * 2
    assert await world.states([first, second]) == [RowState.READY, RowState.WAITING]
