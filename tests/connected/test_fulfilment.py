"""A lease in, one outcome out: a real queue, an engine and an object store of the tests' own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from schemas.common import now
from schemas.jobs import GenerationSpec, Stage, Tier
from schemas.manifest import Manifest
from schemas.queue import QueueRow, RowState
from services.broker import Publisher
from services.cancels import Cancels
from services.claims import Claims
from services.engine.catalogue import Catalogue
from services.engine.encoding import EncodedPicture
from services.engine.messages import Generated
from services.engine.process import EngineProcess, OnProgress
from services.enhancement import Enhancements
from services.errors import EngineDied, NotFound, OutOfMemory, Unavailable
from services.estimates import Durations
from services.fairness import Fairness
from services.fulfilment import Fulfilment
from services.leases import Leases
from services.mongo import Mongo
from services.object_store import S3ObjectStore
from services.outcomes import Outcomes
from services.queue import Lease, Queue
from services.settings import ROOT, GeneratorSettings, Settings
from services.slot import Slot, Turn, done
from services.sourcing import Sourcing
from tests.conditions import until
from tests.connected.queue_parts import (
    RememberingPublisher,
    make_row,
    outcomes_of,
    own_database,
)
from workers.generator import HELD, serve

pytestmark = pytest.mark.connected

SETTINGS = GeneratorSettings()
CATALOGUE = Catalogue.load(Path(ROOT / "models" / "models.yaml"))


class FakeEngine:
    """Makes pictures one after the other, when `finish` allows it; `stopped` counts the others."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.finish = asyncio.Event()
        self.finish.set()
        self.began: list[int | None] = []
        self.references: tuple[bytes, ...] = ()
        self.stopped = 0
        self._turn = asyncio.Lock()

    async def warm(self) -> None:
        return

    async def generate(
        self, spec: GenerationSpec, *, references: Sequence[bytes], on_progress: OnProgress
    ) -> Generated:
        async with self._turn:
            return await self._generate(spec, references, on_progress)

    async def _generate(
        self, spec: GenerationSpec, references: Sequence[bytes], on_progress: OnProgress
    ) -> Generated:
        self.began.append(spec.seed)
        self.references = tuple(references)
        on_progress(Stage.DENOISING, 1, 2)
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        if self.error:
            raise self.error
        for _ in range(spec.num_images):
            on_progress(Stage.DECODING, 2, 2)
            await asyncio.sleep(0)
        return generated(spec)


class FakeStore:
    """Keeps objects; `away` holds every upload up, `on_put` looks at the world at its time."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.here = asyncio.Event()
        self.here.set()
        self.refusals = 0
        self.on_put: Callable[[str], Any] | None = None

    async def put(self, key: str, content: bytes, content_type: str, sha256: str) -> None:
        await self.here.wait()
        if self.refusals:
            self.refusals -= 1
            raise Unavailable
        if self.on_put:
            await self.on_put(key)
        self.objects[key] = content

    async def get(self, key: str) -> bytes:
        await self.here.wait()
        if self.refusals:
            self.refusals -= 1
            raise Unavailable
        if key not in self.objects:
            raise NotFound
        return self.objects[key]


def generated(spec: GenerationSpec) -> Generated:
    assert spec.seed is not None
    picture = EncodedPicture.model_construct(
        png=b"png",
        sha256="0" * 64,
        width=spec.width,
        height=spec.height,
        seed=spec.seed,
        manifest=cast(Manifest, None),
    )
    return Generated.model_construct(
        model="tiny",
        model_sha256="0" * 64,
        tier=Tier.STANDARD,
        generation_seconds=1.0,
        gpu_seconds=1.0,
        device="cpu",
        pictures=(picture,),
    )


class World:
    """A generator without intake."""

    def __init__(self, mongo: Mongo) -> None:
        self.mongo = mongo
        self.engine = FakeEngine()
        self.store = FakeStore()
        self.publisher = RememberingPublisher()
        self.queue = Queue(mongo, SETTINGS)
        self.claims = Claims(self.queue, Fairness(mongo, CATALOGUE))
        self.leases = Leases(self.queue, SETTINGS)
        self.fulfilment = Fulfilment(
            worker="test",
            catalogue=CATALOGUE,
            queue=self.queue,
            leases=self.leases,
            outcomes=outcomes_of(mongo, self.queue, self.publisher),
            engine=cast(EngineProcess, self.engine),
            store=cast(S3ObjectStore, self.store),
            publisher=cast(Publisher, self.publisher),
            durations=Durations(mongo, "test"),
            enhancements=Enhancements(mongo, CATALOGUE, None),
            sourcing=Sourcing(mongo, cast(S3ObjectStore, self.store)),
        )

    async def lease(self, **facts: Any) -> Lease:
        await self.queue.enqueue([make_row(**facts)])
        lease = await self.queue.claim()
        assert lease is not None
        return lease

    async def fulfil(self, lease: Lease) -> None:
        async with asyncio.timeout(10):
            await self.fulfilment.fulfil(Turn.claimed(lease), asyncio.Event())

    async def running(self, lease: Lease) -> asyncio.Task[None]:
        """The task of a run that is in the middle of its generation."""
        self.engine.finish.clear()
        task = asyncio.create_task(self.fulfil(lease))
        await until(lambda: bool(self.engine.began))
        return task

    async def row(self, run: UUID) -> QueueRow:
        return QueueRow.model_validate(await self.mongo.queue.find_one({"_id": run}))


@pytest.fixture(scope="module")
async def database(stack: Settings) -> AsyncIterator[Mongo]:
    async with own_database(stack) as mongo:
        yield mongo


@pytest.fixture
async def world(database: Mongo) -> World:
    await database.queue.delete_many({})
    return World(database)


async def test_a_run_is_started_stored_and_completed_in_that_order(world: World) -> None:
    lease = await world.lease()
    seen: list[tuple[RowState, tuple[str, ...]]] = []

    async def look(key: str) -> None:
        row = await world.row(lease.row.id)
        seen.append((row.state, row.uploads))
        assert "completed" not in world.publisher.kinds(row.job)

    world.store.on_put = look
    await world.fulfil(lease)

    (key,) = world.store.objects
    assert seen == [(RowState.LEASED, (key,))], "noted before the upload, decided after it"
    assert world.publisher.kinds(lease.row.job) == ["started", "completed"]
    completed = world.publisher.events(lease.row.job)[1].model_dump()["data"]
    assert [image["relative_path"] for image in completed["images"]] == [key]
    row = await world.row(lease.row.id)
    assert (row.state, row.published) == (RowState.DONE, True)


@pytest.fixture
def slow_to_start(world: World) -> asyncio.Event:
    """Kafka takes `started` only when this is set."""
    taken = asyncio.Event()
    publish = world.publisher.publish

    async def slowly(topic: Any, key: str, value: bytes, headers: Any = ()) -> None:
        if b".started." in value:
            await taken.wait()
        await publish(topic, key, value, headers)

    world.publisher.publish = slowly  # type: ignore[method-assign]
    return taken


async def test_a_run_that_was_quick_still_says_first_that_it_started(
    world: World, slow_to_start: asyncio.Event
) -> None:
    lease = await world.lease()
    task = asyncio.create_task(world.fulfil(lease))
    await until(lambda: bool(world.store.objects))

    asyncio.get_running_loop().call_later(0.1, slow_to_start.set)
    await task

    assert world.publisher.kinds(lease.row.job) == ["started", "completed"]


async def test_a_broker_that_takes_no_started_holds_no_outcome_up_for_long(
    world: World, slow_to_start: asyncio.Event
) -> None:
    lease = await world.lease()

    await world.fulfil(lease)

    assert not slow_to_start.is_set()
    assert world.publisher.kinds(lease.row.job) == ["completed"]


async def test_the_outcome_is_on_the_row_before_it_is_published(world: World) -> None:
    lease = await world.lease()
    states: list[RowState] = []
    publish = world.publisher.publish

    async def look(topic: Any, key: str, value: bytes, headers: Any = ()) -> None:
        if b"completed" in value:
            states.append((await world.row(lease.row.id)).state)
        await publish(topic, key, value, headers)

    world.publisher.publish = look  # type: ignore[method-assign]
    await world.fulfil(lease)

    assert states == [RowState.DONE]


async def test_a_permanent_error_becomes_a_failed_run(world: World) -> None:
    lease = await world.lease()
    world.engine.error = OutOfMemory("12 GiB short")

    await world.fulfil(lease)

    event = world.publisher.events(lease.row.job)[-1]
    assert event.type == "dev.darkroom.generation.failed.v1"
    data = event.model_dump()["data"]
    assert (data["reason"], data["message"]) == ("out_of_memory", "12 GiB short")
    assert world.store.objects == {}


async def test_a_cancel_stops_the_engine_and_ends_the_run(world: World) -> None:
    lease = await world.lease()
    task = await world.running(lease)
    await Cancels(world.mongo).request(lease.row.id, lease.row.job, "demo", "no")

    await world.leases.watch_cancels()
    await task

    assert world.engine.stopped == 1
    assert world.publisher.kinds(lease.row.job)[-1] == "cancelled"
    assert world.store.objects == {}


async def test_a_run_that_was_cancelled_before_its_claim_never_touches_the_engine(
    world: World,
) -> None:
    row = make_row()
    await world.queue.enqueue([row])
    await Cancels(world.mongo).request(row.id, row.job, "demo", "no")
    lease = await world.queue.claim()
    assert lease is not None

    await world.fulfil(lease)

    assert world.engine.began == []
    assert world.publisher.kinds(row.job) == ["cancelled"]


async def test_a_cancel_that_comes_while_pictures_are_stored_wins(world: World) -> None:
    lease = await world.lease()

    async def cancel(key: str) -> None:
        await Cancels(world.mongo).request(lease.row.id, lease.row.job, "demo", "no")

    world.store.on_put = cancel
    await world.fulfil(lease)

    assert world.publisher.kinds(lease.row.job) == ["started", "cancelled"]
    assert (await world.row(lease.row.id)).uploads == tuple(world.store.objects)


async def test_a_worker_that_lost_its_lease_publishes_no_outcome(world: World) -> None:
    lease = await world.lease()
    task = await world.running(lease)
    await world.mongo.queue.update_one({"_id": lease.row.id}, {"$set": {"owner": "another"}})
    before = await world.row(lease.row.id)

    await world.leases.renew()
    await task

    assert world.engine.stopped == 1
    assert world.publisher.kinds(lease.row.job) in ([], ["started"])
    assert await world.row(lease.row.id) == before


async def test_a_lease_lost_unnoticed_leaves_only_objects_that_the_row_knows(world: World) -> None:
    lease = await world.lease()
    task = await world.running(lease)
    await world.mongo.queue.update_one({"_id": lease.row.id}, {"$set": {"owner": "another"}})
    before = await world.row(lease.row.id)

    world.engine.finish.set()
    await task

    assert set(world.store.objects) <= set(before.uploads)
    assert "completed" not in world.publisher.kinds(lease.row.job)
    assert await world.row(lease.row.id) == before


async def test_a_lease_lost_while_pictures_are_stored_commits_nothing(world: World) -> None:
    lease = await world.lease()

    async def take(key: str) -> None:
        await world.mongo.queue.update_one({"_id": lease.row.id}, {"$set": {"owner": "another"}})

    world.store.on_put = take
    await world.fulfil(lease)

    row = await world.row(lease.row.id)
    assert world.publisher.kinds(lease.row.job) == ["started"]
    assert (row.outcome, row.uploads) == (None, tuple(world.store.objects))


async def test_an_engine_that_died_costs_an_attempt(world: World) -> None:
    lease = await world.lease()
    world.engine.error = EngineDied()

    await world.fulfil(lease)

    expired = await until_expired(world)
    assert (expired.id, expired.state, expired.attempt) == (lease.row.id, RowState.READY, 1)
    assert expired.due > now()
    assert "failed" not in world.publisher.kinds(lease.row.job)


async def until_expired(world: World) -> QueueRow:
    """A lease that was ended now has expired a millisecond later."""
    async with asyncio.timeout(5):
        while (row := await world.queue.take_expired()) is None:
            pass
        return row


async def test_a_worker_that_is_told_to_end_gives_its_run_back_uncounted(world: World) -> None:
    lease = await world.lease()
    task = await world.running(lease)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    row = await world.row(lease.row.id)
    assert (row.state, row.attempt) == (RowState.READY, 0)
    again = await world.queue.claim()
    assert again is not None


async def test_an_object_store_that_is_away_is_waited_for(world: World) -> None:
    lease = await world.lease()
    world.store.refusals = 2

    await world.fulfil(lease)

    assert world.publisher.kinds(lease.row.job) == ["started", "completed"]


async def test_what_an_outcome_will_be_shown_in_is_read_once_beside_the_last_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await world.lease()
    read: list[QueueRow] = []

    async def foresee(_: Outcomes, row: QueueRow) -> None:
        assert world.store.objects == {}
        read.append(row)

    monkeypatch.setattr(Outcomes, "foresee", foresee)
    world.engine.finish.clear()
    task = asyncio.create_task(world.fulfil(lease))
    await until(lambda: bool(world.engine.began))
    assert read == []
    world.engine.finish.set()
    await task

    assert read == [lease.row]


async def test_nothing_is_told_of_a_run_before_it_was_accepted(world: World) -> None:
    lease = await world.lease()
    accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    fulfilling = asyncio.create_task(
        world.fulfilment.fulfil(Turn(lease, done(accepted)), asyncio.Event())
    )
    await until(lambda: len(world.store.objects) == 1)
    assert world.publisher.kinds(lease.row.job) == []
    accepted.set_result(None)
    await fulfilling

    assert world.publisher.kinds(lease.row.job) == ["started", "completed"]


async def test_a_refusal_waits_for_accepted_too(world: World) -> None:
    lease = await world.lease()
    world.engine.error = OutOfMemory("12 GiB short")
    accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    fulfilling = asyncio.create_task(
        world.fulfilment.fulfil(Turn(lease, done(accepted)), asyncio.Event())
    )
    await until(lambda: len(world.engine.began) == 1)
    await asyncio.sleep(0.05)
    assert world.publisher.kinds(lease.row.job) == []
    accepted.set_result(None)
    await fulfilling

    assert world.publisher.kinds(lease.row.job)[-1] == "failed"


async def test_pictures_are_stored_while_the_next_run_is_generated(world: World) -> None:
    rows = [make_row(vft=float(n)) for n in range(2)]
    await world.queue.enqueue(rows)
    world.store.here.clear()

    serving = asyncio.create_task(serve(world.claims, world.fulfilment, Slot(), 0.01))
    await until(lambda: len(world.engine.began) == 2)

    assert "completed" not in world.publisher.kinds(rows[0].job)
    world.store.here.set()
    await until(lambda: all("completed" in world.publisher.kinds(row.job) for row in rows))
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


async def test_only_so_many_runs_wait_for_an_object_store_that_is_away(world: World) -> None:
    await world.queue.enqueue([make_row(vft=float(n)) for n in range(HELD + 3)])
    world.store.here.clear()

    serving = asyncio.create_task(serve(world.claims, world.fulfilment, Slot(), 0.01))
    await until(lambda: len(world.engine.began) == HELD)
    leased = {"state": RowState.LEASED}
    with pytest.raises(TimeoutError):
        await until(lambda: len(world.engine.began) > HELD, seconds=0.5)

    assert await world.mongo.queue.count_documents(leased) == HELD
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert await world.mongo.queue.count_documents(leased) == 0, "each was given back"


async def test_one_run_at_a_time_is_generated(world: World) -> None:
    await world.queue.enqueue([make_row(vft=float(n)) for n in range(3)])
    world.engine.finish.clear()

    serving = asyncio.create_task(serve(world.claims, world.fulfilment, Slot(), 0.01))
    await until(lambda: bool(world.engine.began))
    with pytest.raises(TimeoutError):
        await until(lambda: len(world.engine.began) > 1, seconds=0.3)

    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


async def test_the_bell_wakes_a_worker_that_has_nothing_to_do(world: World) -> None:
    slot = Slot()
    claims: list[Lease | None] = []
    claim = world.claims.next

    async def counted() -> Lease | None:
        claims.append(await claim())
        return claims[-1]

    world.claims.next = counted  # type: ignore[method-assign]
    an_hour = timedelta(hours=1).total_seconds()
    serving = asyncio.create_task(serve(world.claims, world.fulfilment, slot, an_hour))
    await until(lambda: claims == [None])
    row = make_row()
    await world.queue.enqueue([row])

    slot.ring()
    await until(lambda: "completed" in world.publisher.kinds(row.job))

    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
