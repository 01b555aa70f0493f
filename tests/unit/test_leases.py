"""A lease in the hand: renewed in time, or given up before anybody else may start."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import cast
from uuid import UUID, uuid4

import pytest
from pymongo.errors import AutoReconnect

from schemas.queue import QueueRow
from services.leases import Hold, Leases
from services.queue import Lease, Queue
from services.settings import GeneratorSettings
from tests.conditions import until, until_answered

SETTINGS = GeneratorSettings(lease=timedelta(milliseconds=300), renew=timedelta(milliseconds=100))


class FakeQueue:
    """What the server answers; `away` runs are not answered at all."""

    def __init__(self) -> None:
        self.taken: set[UUID] = set()
        self.away: set[UUID] = set()
        self.broken: set[UUID] = set()
        self.to_cancel: set[UUID] = set()
        self.renewed: list[UUID] = []

    async def renew(self, lease: Lease) -> bool:
        run = lease.row.id
        if run in self.broken:
            raise AutoReconnect
        if run in self.away:
            await asyncio.Event().wait()
        self.renewed.append(run)
        return run not in self.taken

    async def cancelled(self, leases: list[Lease]) -> set[UUID]:
        return {lease.row.id for lease in leases} & self.to_cancel


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def leases(queue: FakeQueue) -> Leases:
    return Leases(cast(Queue, queue), SETTINGS)


def make_lease(run: UUID | None = None) -> Lease:
    run = run or uuid4()
    return Lease(row=QueueRow(id=run, job=run, project="demo", owner=uuid4().hex, attempt=1))


@contextmanager
def engine_of(hold: Hold) -> Iterator[list[str]]:
    """The part in which the engine works for `hold`; what it was told is in the list."""
    told: list[str] = []
    with hold.stopping(lambda: told.append("stop")):
        yield told


async def test_a_renewed_lease_is_kept(leases: Leases, queue: FakeQueue) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with leases.holding(make_lease()) as hold:

        async def renewed_beyond_its_first_end() -> bool:
            await leases.renew()
            return loop.time() - began > 2 * SETTINGS.lease.total_seconds()

        await until_answered(renewed_beyond_its_first_end)

        assert not hold.lost


async def test_a_lease_that_somebody_else_took_stops_the_engine(
    leases: Leases, queue: FakeQueue
) -> None:
    with leases.holding(make_lease()) as hold, engine_of(hold) as told:
        queue.taken.add(hold.lease.row.id)

        await leases.renew()

        assert hold.lost
        assert told == ["stop"]


async def test_without_an_answer_the_engine_stops_before_the_lease_ends(leases: Leases) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with leases.holding(make_lease()) as hold, engine_of(hold) as told:
        await until(lambda: hold.lost)

        assert told == ["stop"]
        assert loop.time() - began < SETTINGS.lease.total_seconds()


async def test_a_server_that_hangs_or_breaks_on_one_lease_leaves_no_other_behind(
    leases: Leases, queue: FakeQueue
) -> None:
    hanging, broken, good = make_lease(), make_lease(), make_lease()
    queue.away.add(hanging.row.id)
    queue.broken.add(broken.row.id)
    with (
        leases.holding(hanging) as first,
        leases.holding(broken) as second,
        leases.holding(good) as third,
    ):
        renewing = asyncio.create_task(leases.renew())
        await until(lambda: queue.renewed == [good.row.id])
        await until(lambda: first.lost and second.lost)
        with pytest.raises(AutoReconnect):
            await renewing

        assert not third.lost or queue.renewed == [good.row.id]


async def test_a_run_claimed_anew_while_its_lost_lease_is_still_held_stays_held(
    leases: Leases, queue: FakeQueue
) -> None:
    """As when the object store is away for longer than a lease."""
    lost = leases.holding(make_lease())
    run = lost.__enter__().lease.row.id
    with leases.holding(make_lease(run)) as anew:
        lost.__exit__(None, None, None)

        await leases.renew()
        queue.to_cancel.add(run)
        await leases.watch_cancels()

        assert queue.renewed == [run]
        assert anew.cancelled


async def test_a_cancelled_run_stops_the_engine_and_no_other_run_does(
    leases: Leases, queue: FakeQueue
) -> None:
    with (
        leases.holding(make_lease()) as cancelled,
        leases.holding(make_lease()) as other,
        engine_of(cancelled) as told,
        engine_of(other) as others,
    ):
        queue.to_cancel.add(cancelled.lease.row.id)

        await leases.watch_cancels()

        assert (cancelled.cancelled, other.cancelled) == (True, False)
        assert (told, others) == (["stop"], [])


async def test_the_engine_is_told_only_while_it_works_for_this_run(
    leases: Leases, queue: FakeQueue
) -> None:
    with leases.holding(make_lease()) as hold:
        with engine_of(hold) as told:
            pass
        queue.to_cancel.add(hold.lease.row.id)
        await leases.watch_cancels()

        assert hold.cancelled
        assert told == []


async def test_what_is_no_longer_held_is_not_renewed(leases: Leases, queue: FakeQueue) -> None:
    with leases.holding(make_lease()):
        pass

    await leases.renew()

    assert queue.renewed == []
