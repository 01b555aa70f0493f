"""What is promised at a submit beside what comes true, in a time of its own.

Queue, shares, lanes and estimates are the real ones; a picture costs what its tier and size say,
give or take, and one worker makes one after the other.
"""

import random
import sys
from collections.abc import AsyncIterator
from statistics import median
from typing import Final, NamedTuple
from uuid import UUID, uuid4

import pytest

from schemas.jobs import Dialect, GenerationSpec, Lane, Tier
from services.admission import Wish
from services.drafts import with_finals
from services.estimates import Durations, Estimates
from services.settings import Settings
from tests.connected.intake_parts import CATALOGUE, World
from tests.connected.queue_parts import completed, own_database

pytestmark = pytest.mark.connected

SIZES: Final = ((256, 256), (320, 256), (256, 384))
COST: Final = {Tier.DRAFT: 0.3, Tier.STANDARD: 0.5, Tier.HIGH: 0.9}  #: seconds at 256x256
SPREAD: Final = 0.2  #: of a cost, one standard deviation
BESIDE: Final = 0.05  #: seconds of a worker beside the picture
REFRESHED_EVERY: Final = 1.0
AT_MOST: Final = 30.0  #: percent


class Submit(NamedTuple):
    at: float
    wishes: tuple[Wish, ...]
    project: str = "ada"


class Run:
    """One worker and those who ask, on a clock of their own."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._now = 0.0
        self._estimates = Estimates(world.mongo, CATALOGUE, clock=lambda: self._now)
        self._durations = Durations(world.mongo, "worker")
        self._random = random.Random(seed)
        self._refreshed = -REFRESHED_EVERY
        self.promised: dict[UUID, tuple[float, float]] = {}  # run -> its submit, its promise
        self.ended: dict[UUID, float] = {}

    async def through(self, submits: list[Submit]) -> None:
        moment = 0.0
        coming = sorted(submits, key=lambda submit: submit.at)
        while True:
            lease = await self._world.queue.claim()
            if lease is None and not coming:
                return
            if lease is None:
                moment = coming[0].at
            elif lease.row.spec:
                moment += (cost := self.cost(lease.row.spec)) + BESIDE
            while coming and coming[0].at <= moment:
                await self._submit(coming.pop(0))
            if lease is not None and lease.row.spec:
                assert await self._world.outcomes.commit(lease, completed(lease.row))
                self._durations.note(lease.row.spec, cost)
                await self._durations.write()
                self.ended[lease.row.id] = moment

    async def learn(self) -> None:
        """One picture of each kind."""
        for tier in COST:
            for size in SIZES:
                self._durations.note(spec := asked(tier, size), self.cost(spec))
        await self._durations.write()

    def cost(self, spec: GenerationSpec) -> float:
        mean = COST[spec.tier] * spec.width * spec.height / 256**2
        return mean * max(0.3, self._random.gauss(1.0, SPREAD))

    async def _submit(self, submit: Submit) -> None:
        self._now, self._world.project = submit.at, submit.project
        if submit.at >= self._refreshed + REFRESHED_EVERY:
            await self._estimates.refresh()
            self._refreshed = submit.at
        expected = self._estimates.one_after_another(
            submit.project, [(wish.spec, wish.lane) for wish in submit.wishes]
        )
        jobs = await self._world.submitted(*submit.wishes)
        self._estimates.admitted(jobs)
        for job, seconds in zip(jobs, expected, strict=True):
            assert seconds is not None, "every kind was measured"
            self.promised[job.run] = submit.at, seconds


@pytest.fixture
async def world(migrated: Settings) -> AsyncIterator[World]:
    async with own_database(migrated) as mongo:
        yield World(migrated, mongo)


@pytest.mark.parametrize("workload", ["mixed", "waves", "shared"])
async def test_the_median_promise_is_nearly_kept(world: World, workload: str) -> None:
    run = Run(world, seed=7)
    await run.learn()
    workloads = {"mixed": mixed, "waves": waves, "shared": shared}

    await run.through(workloads[workload](random.Random(7)))

    assert len(run.ended) == len(run.promised) >= 200
    errors = [
        abs(promised - (run.ended[name] - at)) / (run.ended[name] - at) * 100
        for name, (at, promised) in run.promised.items()
    ]
    sys.stdout.write(f"{workload}: {len(errors)} promises, median error {median(errors):.1f} %\n")
    assert median(errors) <= AT_MOST


def mixed(drawn: random.Random) -> list[Submit]:
    """Two minutes: batches with drafts, plain batches, and single pictures all the time."""
    submits = []
    for number in range(6):
        images = tuple(_wish(drawn, Lane.BATCH) for _ in range(10))
        drafts = with_finals([_drafted(image) for image in images])
        submits.append(Submit(number * 20.0, drafts if number % 2 else images))
    singles = [Submit(drawn.uniform(0, 120), (_wish(drawn, Lane.INTERACTIVE),)) for _ in range(110)]
    return submits + singles


def waves(drawn: random.Random) -> list[Submit]:
    """A batch with drafts, a plain batch and single pictures, again when the singles are made."""
    submits = []
    for number in range(4):
        begin = number * 12.0
        drafts = with_finals([_drafted(_wish(drawn, Lane.BATCH)) for _ in range(10)])
        plain = tuple(_wish(drawn, Lane.BATCH) for _ in range(15))
        singles = [(_wish(drawn, Lane.INTERACTIVE),) for _ in range(15)]
        together = (drafts, plain, *singles)
        submits += [Submit(begin + at * 0.02, wishes) for at, wishes in enumerate(together)]
    return submits


def shared(drawn: random.Random) -> list[Submit]:
    """Two projects' floods, and small batches of a third all the time."""
    submits = [
        Submit(0.0, tuple(_wish(drawn, Lane.BATCH) for _ in range(60)), "flood"),
        Submit(5.0, tuple(_wish(drawn, Lane.BATCH) for _ in range(40)), "tide"),
    ]
    for number in range(25):
        wishes = tuple(_wish(drawn, Lane.BATCH) for _ in range(4))
        submits.append(Submit(5.5 + number * 5.0, wishes))
    return submits


def _wish(drawn: random.Random, lane: Lane) -> Wish:
    spec = asked(drawn.choice(list(COST)), drawn.choice(SIZES))
    return Wish(spec=spec, dialect=Dialect.BLOG, lane=lane)


def _drafted(wish: Wish) -> Wish:
    spec = wish.spec.model_copy(update={"tier": Tier.DRAFT})
    return wish.model_copy(update={"spec": spec, "job_id": uuid4(), "is_draft": True})


def asked(tier: Tier, size: tuple[int, int]) -> GenerationSpec:
    width, height = size
    return GenerationSpec(prompt="a", model="tiny", tier=tier, width=width, height=height, seed=1)
