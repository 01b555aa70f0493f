"""Workers, sweeps, cancels and deaths in any order, on a real mongod: one outcome per run."""

from collections.abc import AsyncIterator
from typing import Any, Final, cast
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.events import TerminalEvent
from schemas.queue import QueueRow, RowState
from services import run_events
from services.broker import Publisher
from services.cancels import Cancels
from services.mongo import Mongo
from services.outcomes import Outcomes
from services.queue import Lease, Queue
from services.settings import GeneratorSettings, Settings
from tests.connected.crash_parts import Crash, Fuse, FusedMongo, FusedPublisher
from tests.connected.crash_world import turn_back
from tests.connected.queue_parts import (
    RememberingPublisher,
    completed,
    make_row,
    outcomes_of,
    own_database,
)

pytestmark = pytest.mark.connected

RUNS: Final = 3
ATTEMPTS: Final = 3
SETTINGS: Final = GeneratorSettings(max_attempts=ATTEMPTS)

run = st.sampled_from([0, 0, *range(RUNS)])
#: Which of all leases that anybody ever had, most often the latest: a worker that slept still
#: believes in its own.
lease = st.one_of(st.just(-1), st.just(-1), st.integers(-20, -1))
#: After which write the one who does it dies; most don't.
death = st.sampled_from([None, None, None, 1, 2, 3])
MOVES = st.one_of(
    st.tuples(st.just("enqueue"), run, death),
    st.tuples(st.just("claim"), run, death),
    st.tuples(st.just("claim"), run, death),
    st.tuples(st.just("renew"), lease, death),
    st.tuples(st.just("release"), lease, death),
    st.tuples(st.just("abandon"), lease, death),
    st.tuples(st.just("complete"), lease, death),
    st.tuples(st.just("complete"), lease, death),
    st.tuples(st.just("fail"), lease, death),
    st.tuples(st.just("cancel"), run, death),
    st.tuples(st.just("sweep"), run, death),
    st.tuples(st.just("time"), run, st.none()),
)

#: Programs that chance finds seldom: a cancel before the end, a sleeper that wakes, a death
#: between the decision and its publication.
RACES: Final = (
    [("enqueue", 0, None), ("claim", 0, None), ("cancel", 0, None), ("complete", -1, None)],
    [
        *[("enqueue", 0, None), ("claim", 0, None), ("time", 0, None), ("sweep", 0, None)],
        *[("time", 0, None), ("claim", 0, None), ("complete", -2, None), ("release", -2, None)],
        *[("complete", -1, None), ("complete", -2, None)],
    ],
    [("enqueue", 0, None), ("claim", 0, None), ("complete", -1, 1), ("enqueue", 0, None)],
)


class Machine:
    """What is done, and what must be true after each of it."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        first, second = (make_row(max_attempts=ATTEMPTS) for _ in range(2))
        self.rows = first, second, make_row(max_attempts=ATTEMPTS, after=(first.job,))
        self.leases: list[Lease] = []
        self.publisher = RememberingPublisher()
        self.outcomes: dict[UUID, bytes] = {}
        self.attempts: dict[UUID, int] = {}
        self.cancelled: set[UUID] = set()
        self.won: list[UUID] = []

    async def move(self, kind: str, which: int, dies_after: int | None) -> None:
        fuse = Fuse(nth=dies_after)
        mongo = FusedMongo(self._mongo, fuse)
        queue = Queue(mongo, SETTINGS)
        publisher = FusedPublisher(cast(Publisher, self.publisher), fuse)
        outcomes = outcomes_of(mongo, queue, publisher)
        released = kind == "release"
        try:
            if kind in ("renew", "release", "abandon", "complete", "fail"):
                if self.leases:
                    await self._hold(kind, self.leases[which % len(self.leases)], queue, outcomes)
            else:
                await self._other(kind, self.rows[which], queue, Cancels(mongo), outcomes)
        except Crash:
            pass
        await self.check(released)

    async def _hold(self, kind: str, held: Lease, queue: Queue, outcomes: Outcomes) -> None:
        before = await self._row(held.row.id)
        try:
            await self._use(kind, held, queue, outcomes)
        finally:
            if (before.owner, before.attempt) != (held.row.owner, held.row.attempt):
                assert await self._row(held.row.id) == before, "it was another's"

    async def _use(self, kind: str, held: Lease, queue: Queue, outcomes: Outcomes) -> None:
        if kind == "renew":
            await queue.renew(held)
        elif kind == "release":
            await queue.release(held)
        elif kind == "abandon":
            await queue.abandon(held)
        else:
            event: TerminalEvent = completed(held.row)
            if kind == "fail":
                event = run_events.failed(held.row, "out_of_memory", "12 GiB short")
            if await outcomes.commit(held, event):
                self.won.append(held.row.id)

    async def _other(
        self, kind: str, row: QueueRow, queue: Queue, cancels: Cancels, outcomes: Outcomes
    ) -> None:
        if kind == "enqueue":
            for overtaken in await queue.enqueue([row]):
                await outcomes.cancel_unleased(overtaken)
        elif kind == "claim":
            if (claimed := await queue.claim()) is not None:
                self.leases.append(claimed)
        elif kind == "cancel":
            flagged = await cancels.request(row.id, row.job, row.project, "no")
            if flagged is not None and flagged.outcome is None:
                self.cancelled.add(row.id)
                if flagged.state in (RowState.WAITING, RowState.READY):
                    await outcomes.cancel_unleased(flagged)
        elif kind == "sweep":
            await outcomes.sweep()
        else:
            for field in ("lease_until", "due", "outcome.decided_at"):
                await turn_back(self._mongo.queue, field)

    async def check(self, released: bool = False) -> None:
        stored = {row.id: row async for row in self._stored()}
        for row in stored.values():
            told = set(self.publisher.bytes_of(row.job))
            decided = row.outcome.event if row.outcome else None
            assert told <= {decided}, "only what was decided is published, and only that"
            assert self.outcomes.get(row.id, decided) == decided, "an outcome never changes"
            if decided is not None:
                self.outcomes[row.id] = decided
                assert row.state is RowState.DONE
            before = self.attempts.get(row.id, 0)
            assert before - released <= row.attempt <= ATTEMPTS
            self.attempts[row.id] = row.attempt
            if row.id in self.cancelled:
                assert row.outcome is None or ".completed." not in row.outcome.type
        assert len(self.won) == len(set(self.won)), "who loses publishes nothing"
        owners = [row.owner for row in stored.values() if row.state is RowState.LEASED]
        assert len(owners) == len(set(owners))

    async def finish(self) -> None:
        """Nobody dies any more: every run that came gets its outcome, and all hear of it."""
        for row in self.rows:
            await self.move("enqueue", self.rows.index(row), None)
        for _ in range(2 * ATTEMPTS + 4):
            await self.move("time", 0, None)
            await self.move("sweep", 0, None)
            await self.move("claim", 0, None)
            await self.move("complete", -1, None)
        rows = [row async for row in self._stored()]
        assert {(row.state, row.published) for row in rows} == {(RowState.DONE, True)}
        assert all(len(set(self.publisher.bytes_of(row.job))) == 1 for row in rows)

    async def _row(self, run: UUID) -> QueueRow:
        return QueueRow.model_validate(await self._mongo.queue.find_one({"_id": run}))

    async def _stored(self) -> AsyncIterator[QueueRow]:
        async for found in self._mongo.queue.find():
            yield QueueRow.model_validate(found)


@pytest.fixture(scope="module")
async def mongo(stack: Settings) -> AsyncIterator[Mongo]:
    async with own_database(stack) as mongo:
        yield mongo


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@example(moves=RACES[0])
@example(moves=RACES[1])
@example(moves=RACES[2])
@given(moves=st.lists(MOVES, min_size=5, max_size=25))
async def test_in_any_order_each_run_gets_one_outcome(
    mongo: Mongo, moves: list[tuple[Any, ...]]
) -> None:
    await mongo.queue.delete_many({})
    machine = Machine(mongo)
    for kind, which, dies_after in moves:
        await machine.move(kind, which, dies_after)
    await machine.finish()
