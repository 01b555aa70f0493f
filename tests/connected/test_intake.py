"""Both doors on a real Kafka and MongoDB: what is readable is queued, what isn't is kept."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from aiokafka.errors import KafkaConnectionError
from pymongo.errors import AutoReconnect

from schemas.cloudevents import second_door_job
from schemas.jobs import Dialect, GenerationSpec, Job
from schemas.queue import QueueRow, RowState
from schemas.topics import DEAD_LETTERS, GENERATION_COMMANDS, GENERATION_EVENTS
from services.accounts import Keys
from services.admission import Admission, Wish
from services.broker import Publisher
from services.cancels import Cancels
from services.commands import CommandReader
from services.dead_letters import Record as Message
from services.engine.catalogue import Catalogue
from services.fairness import Fairness
from services.intake import Intake
from services.issuance import CreatedKey
from services.mongo import Mongo, Session
from services.queue import Lease, Queue
from services.settings import ROOT, Settings
from services.signing import Signer
from services.slot import Slot, Turn
from tests.connected.kafka_parts import (
    TopicTail,
    stranger,
    strangers_command,
    strangers_signature,
    tail_of,
)
from tests.connected.queue_parts import (
    RememberingPublisher,
    make_row,
    outcomes_of,
    own_database,
)

pytestmark = pytest.mark.connected

CATALOGUE = Catalogue.load(ROOT / "models" / "models.yaml")
SIGNER = Signer("a master secret of tests")
ROOM = GENERATION_COMMANDS.max_message_bytes - 200  #: for a message beside what Kafka adds
PICTURE = {"prompt": "a red circle", "model": "tiny", "width": 64, "height": 64}


class Door:
    """Intake with its parts; what is sent to the topic is taken in from it by `take_in`."""

    def __init__(self, stack: Settings, mongo: Mongo, publisher: Publisher) -> None:
        self.mongo = mongo
        self.stack = stack
        self.slot = Slot()
        self.keys = Keys(mongo, SIGNER)
        self.queue = Queue(mongo, stack.generator)
        self.admission = Admission(mongo, publisher, SIGNER, CATALOGUE)
        self.intake = Intake(
            settings=stack,
            reader=CommandReader(SIGNER, self.keys),
            admission=self.admission,
            fairness=Fairness(mongo, CATALOGUE),
            queue=self.queue,
            cancels=Cancels(mongo),
            outcomes=outcomes_of(mongo, self.queue, publisher),
            publisher=publisher,
            slot=self.slot,
        )

    async def key(self) -> CreatedKey:
        return await self.keys.create(f"test-{uuid4()}")

    async def row(self, run: UUID) -> QueueRow | None:
        found = await self.mongo.queue.find_one({"_id": run})
        return QueueRow.model_validate(found) if found else None

    async def job(self, job: UUID) -> Job | None:
        found = await self.mongo.jobs.find_one({"_id": job})
        return Job.model_validate(found) if found else None


@pytest.fixture(scope="module")
async def mongo(migrated: Settings) -> AsyncIterator[Mongo]:
    async with own_database(migrated) as mongo:
        yield mongo


@pytest.fixture(scope="module")
async def publisher(migrated: Settings) -> AsyncIterator[Publisher]:
    async with Publisher.open(migrated.kafka) as publisher:
        yield publisher


@pytest.fixture(scope="module")
async def producer(migrated: Settings) -> AsyncIterator[Any]:
    async with stranger(migrated) as producer:
        yield producer


@pytest.fixture
async def commands(migrated: Settings) -> AsyncIterator[TopicTail]:
    async with tail_of(migrated, GENERATION_COMMANDS) as tail:
        yield tail


@pytest.fixture
async def events(migrated: Settings) -> AsyncIterator[TopicTail]:
    async with tail_of(migrated, GENERATION_EVENTS) as tail:
        yield tail


@pytest.fixture
async def letters(migrated: Settings) -> AsyncIterator[TopicTail]:
    async with tail_of(migrated, DEAD_LETTERS) as tail:
        yield tail


@pytest.fixture
def door(migrated: Settings, mongo: Mongo, publisher: Publisher) -> Door:
    return Door(migrated, mongo, publisher)


async def delivered(tail: TopicTail, count: int = 1) -> list[Message]:
    await tail.until(lambda seen: len(seen) >= count)
    return tail.seen


async def send(producer: Any, value: bytes | None, *headers: tuple[str, bytes]) -> None:
    await producer.send_and_wait(
        GENERATION_COMMANDS.name, value, key=b"their key", headers=list(headers)
    )


def waiting_for_itself(project: str) -> bytes:
    command = json.loads(strangers_command(project, PICTURE))
    job = second_door_job(project, command["source"], command["id"])
    command["data"]["jobs"][0]["after"] = [str(job)]
    return json.dumps(command).encode()


def contents(messages: list[Message]) -> list[dict[str, Any]]:
    return [json.loads(message.value or b"") for message in messages]


def kinds(messages: list[Message]) -> list[str]:
    return [event["type"].split(".")[-2] for event in contents(messages)]


async def test_our_own_command_becomes_a_row_and_an_accepted_event(
    door: Door, commands: TopicTail, events: TopicTail
) -> None:
    wish = Wish(spec=GenerationSpec(**PICTURE), dialect=Dialect.BLOG)
    (job,) = (await door.admission.submit("demo", [wish])).jobs

    await door.intake.take_in(await delivered(commands))

    row = await door.row(job.run)
    assert row is not None
    assert (row.state, row.job, row.project, row.spec) == (
        RowState.READY,
        job.id,
        "demo",
        job.spec,
    )
    assert door.slot.rung
    await events.until(lambda _: events.of(str(job.id)))
    (accepted,) = contents(events.of(str(job.id)))
    assert accepted["type"] == "dev.darkroom.generation.accepted.v1"
    assert accepted["data"]["run_id"] == str(job.run)
    assert "red circle" not in json.dumps(accepted)


@asynccontextmanager
async def idle_worker(door: Door) -> AsyncIterator[asyncio.Task[Turn | None]]:
    """One that has found nothing and waits for as long as the test takes."""
    waiting = asyncio.create_task(door.slot.turn(3600))
    await asyncio.sleep(0)
    yield waiting
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def submitted(door: Door, **facts: Any) -> Job:
    wish = Wish(spec=GenerationSpec(**PICTURE), dialect=Dialect.BLOG, **facts)
    (job,) = (await door.admission.submit("idle", [wish])).jobs
    return job


async def test_a_run_is_leased_at_once_to_a_worker_that_has_nothing_to_do(
    door: Door, commands: TopicTail, events: TopicTail
) -> None:
    await door.mongo.queue.delete_many({})
    job = await submitted(door)

    async with idle_worker(door) as worker:
        await door.intake.take_in(await delivered(commands))
        turn = await worker

    assert turn is not None
    accepted = await turn.confirmed()
    assert accepted is not None
    assert accepted.done()
    row = await door.row(job.run)
    assert row is not None
    assert (row.state, row.attempt, row.spec) == (RowState.LEASED, 1, job.spec)
    assert row.owner == turn.lease.row.owner
    share = await Fairness(door.mongo, CATALOGUE).share("idle")
    assert share.last["0"] == row.vft > 0
    assert await door.queue.claim() is None
    assert await door.queue.renew(turn.lease)
    await events.until(lambda _: kinds(events.of(str(job.id))) == ["accepted"])


async def test_what_was_there_first_is_served_first(door: Door, commands: TopicTail) -> None:
    await door.mongo.queue.delete_many({})
    await door.queue.enqueue([make_row(vft=0.5)])
    job = await submitted(door)

    async with idle_worker(door) as worker:
        await door.intake.take_in(await delivered(commands))
        assert await worker is None

    row = await door.row(job.run)
    assert row is not None
    assert row.state is RowState.READY


async def test_a_project_with_a_cap_stands_in_line(door: Door, commands: TopicTail) -> None:
    await door.mongo.queue.delete_many({})
    await Fairness(door.mongo, CATALOGUE).set_share("idle", 1.0, 1)
    job = await submitted(door)

    async with idle_worker(door) as worker:
        await door.intake.take_in(await delivered(commands))
        assert await worker is None

    row = await door.row(job.run)
    assert row is not None
    assert row.state is RowState.READY
    await Fairness(door.mongo, CATALOGUE).set_share("idle", 1.0, None)


async def test_a_run_that_is_delivered_again_is_leased_to_nobody(
    door: Door, commands: TopicTail
) -> None:
    await door.mongo.queue.delete_many({})
    job = await submitted(door)
    records = await delivered(commands)
    async with idle_worker(door) as worker:
        await door.intake.take_in(records)
        assert await worker is not None
    before = await door.row(job.run)

    async with idle_worker(door) as worker:
        await door.intake.take_in(records)
        assert await worker is None

    assert await door.row(job.run) == before


@pytest.mark.parametrize("late", [False, True], ids=["before it is offered", "after it"])
async def test_a_worker_that_stops_gives_back_what_it_was_promised(
    door: Door, commands: TopicTail, late: bool
) -> None:
    await door.mongo.queue.delete_many({})
    job = await submitted(door)
    records = await delivered(commands)

    async with idle_worker(door) as worker:
        for part, name in ((door.intake._fairness, "is_next"), (door.queue, "first_lease")):
            setattr(part, name, stopping(worker, getattr(part, name), late == (name != "is_next")))
        await door.intake.take_in(records)

    row = await door.row(job.run)
    assert row is not None
    assert (row.state, row.attempt) == (RowState.READY, 0)


def stopping(worker: asyncio.Task[Any], step: Callable[..., Any], now: bool) -> Callable[..., Any]:
    def stopped(*arguments: Any) -> Any:
        if now:
            worker.cancel()
        return step(*arguments)

    return stopped


async def test_an_engine_may_begin_while_its_lease_is_written(
    door: Door, commands: TopicTail
) -> None:
    await door.mongo.queue.delete_many({})
    await submitted(door)
    insert, open_ = door.queue.insert_leased, asyncio.Event()

    async def slow(lease: Lease) -> bool:
        await open_.wait()
        return await insert(lease)

    door.queue.insert_leased = slow  # type: ignore[method-assign]
    async with idle_worker(door) as worker:
        taking_in = asyncio.create_task(door.intake.take_in(await delivered(commands)))
        turn = await worker
        assert turn is not None
        assert not turn.leased.done()
        assert await door.row(turn.lease.row.id) is None
        open_.set()
        assert await turn.confirmed() is not None
        await taking_in


@pytest.mark.parametrize(
    ("timestamps", "served"),
    [((10, 20, 30, 40), (0, 1, 2, 3)), ((10, 20, 5, 40), (0, 2, 1, 3))],
    ids=["as submitted", "as their partition says, whatever a clock says"],
)
async def test_a_batch_is_served_in_the_order_of_its_submits(
    door: Door, commands: TopicTail, timestamps: tuple[int, ...], served: tuple[int, ...]
) -> None:
    """Kafka groups it by partition; two submits come to each of two in turns."""
    await door.mongo.queue.delete_many({})
    runs = [(await submitted(door)).run for _ in timestamps]
    records = {record.key: record for record in await delivered(commands, len(runs))}
    placed = [
        replace(cast(Any, records[str(run).encode()]), partition=number % 2, timestamp=timestamp)
        for number, (run, timestamp) in enumerate(zip(runs, timestamps, strict=True))
    ]

    await door.intake.take_in(placed[::2] + placed[1::2])

    found = [row["_id"] async for row in door.mongo.queue.find().sort("vft")]
    assert found == [runs[number] for number in served]


async def test_a_job_whose_model_has_gone_since_its_admission_delays_nobody(
    door: Door, migrated: Settings, publisher: Publisher, commands: TopicTail
) -> None:
    """The API's catalogue had it, this generator's has not."""
    (model, *_) = (model for model in CATALOGUE.models if model.id == "tiny")
    gone = model.model_copy(update={"id": "gone", "aliases": ()})
    wider = CATALOGUE.model_copy(update={"models": (*CATALOGUE.models, gone)})
    api = Admission(door.mongo, publisher, SIGNER, wider)
    spec = GenerationSpec(**PICTURE)
    wishes = [spec.model_copy(update={"model": name}) for name in ("gone", "tiny")]
    jobs = [
        (await api.submit("demo", [Wish(spec=wish, dialect=Dialect.BLOG)])).jobs[0]
        for wish in wishes
    ]

    await door.intake.take_in(await delivered(commands, 2))

    assert all([await door.row(job.run) is not None for job in jobs])


async def test_another_services_command_becomes_a_job_that_can_be_polled(
    door: Door, commands: TopicTail, events: TopicTail, producer: Any
) -> None:
    key = await door.key()
    value = strangers_command(key.project, PICTURE, PICTURE)
    await send(producer, value, strangers_signature(value, key.id, key.signing_secret))

    await door.intake.take_in(await delivered(commands))

    command = json.loads(value)
    for index in range(2):
        job_id = second_door_job(key.project, "/shop", command["id"], index)
        job, row = await door.job(job_id), await door.row(job_id)
        assert job is not None
        assert row is not None
        assert (job.project, job.dialect, job.published) == (key.project, Dialect.KAFKA, True)
        assert (job.clientref, row.spec) == ("order 17", job.spec)
        await events.until(lambda _, job_id=job_id: events.of(str(job_id)))  # type: ignore[misc]
        (accepted,) = contents(events.of(str(job_id)))
        assert accepted["data"]["clientref"] == "order 17"


async def test_the_document_of_the_second_door_is_there_before_accepted_tells_of_it(
    door: Door, migrated: Settings, commands: TopicTail, producer: Any
) -> None:
    key = await door.key()
    value = strangers_command(key.project, PICTURE)
    await send(producer, value, strangers_signature(value, key.id, key.signing_secret))
    seen: list[tuple[bool, bool]] = []

    class Looking(RememberingPublisher):
        async def publish(self, topic: Any, key: str, value: bytes, headers: Any = ()) -> None:
            job = UUID(key)
            seen.append((await door.job(job) is not None, await door.row(job) is not None))

    looking = Door(migrated, door.mongo, cast(Publisher, Looking()))
    await looking.intake.take_in(await delivered(commands))

    assert seen == [(True, False)], "document, then accepted, then the row that can be claimed"


async def test_a_command_that_is_delivered_again_changes_nothing(
    door: Door, commands: TopicTail, events: TopicTail, producer: Any
) -> None:
    key = await door.key()
    value = strangers_command(key.project, PICTURE)
    for _ in range(2):  # the producer's own retry is another record
        await send(producer, value, strangers_signature(value, key.id, key.signing_secret))
    records = await delivered(commands, 2)
    await door.intake.take_in(records[:1])
    job_id = second_door_job(key.project, "/shop", json.loads(value)["id"])
    before = await door.job(job_id), await door.row(job_id)

    await door.intake.take_in(records)

    assert (await door.job(job_id), await door.row(job_id)) == before
    assert await door.mongo.jobs.count_documents({"project": key.project}) == 1
    await events.until(lambda _: len(events.of(str(job_id))) == 3)
    assert len({event["id"] for event in contents(events.of(str(job_id)))}) == 1


async def test_ids_that_a_stranger_sends_are_not_taken(
    door: Door, commands: TopicTail, producer: Any
) -> None:
    wish = Wish(spec=GenerationSpec(**PICTURE), dialect=Dialect.BLOG)
    (theirs,) = (await door.admission.submit("victim", [wish])).jobs
    key = await door.key()
    mine = {**PICTURE, "job_id": str(theirs.id), "run_id": str(theirs.run)}
    value = strangers_command(key.project, mine)
    await send(producer, value, strangers_signature(value, key.id, key.signing_secret))

    await door.intake.take_in([await last(commands, 2)])

    assert await door.row(theirs.run) is None
    assert await door.mongo.jobs.count_documents({"project": key.project}) == 1


async def last(tail: TopicTail, count: int) -> Message:
    """The message of the stranger among `count`."""
    messages = await delivered(tail, count)
    return next(message for message in messages if message.key == b"their key")


async def test_the_unreadable_is_kept_byte_for_byte_and_delays_nobody(
    door: Door, commands: TopicTail, events: TopicTail, letters: TopicTail, producer: Any
) -> None:
    key = await door.key()
    unsigned = strangers_command(key.project, PICTURE)
    wrong = strangers_signature(b"something else", key.id, key.signing_secret)
    good = strangers_command(key.project, PICTURE)
    binary = ("trace", b"\xff\xfe\x00")
    await send(producer, b"\x00not json\xff", binary)
    await send(producer, unsigned)
    await send(producer, unsigned, wrong)
    await send(producer, None)
    await send(producer, good, binary, strangers_signature(good, key.id, key.signing_secret))

    records = await delivered(commands, 5)
    await door.intake.take_in(records)
    await door.intake.take_in(records)

    job_id = second_door_job(key.project, "/shop", json.loads(good)["id"])
    assert await door.row(job_id) is not None
    await letters.until(lambda seen: len(seen) >= 8)
    kept = {letter["subject"]: letter["data"] for letter in contents(letters.seen)}
    assert len({letter["id"] for letter in contents(letters.seen)}) == len(kept) == 4
    for record in records[:4]:
        data = kept[f"{record.topic}:{record.partition}:{record.offset}"]
        assert base64.b64decode(data["value"]) == (record.value or b"")
        assert base64.b64decode(data["key"]) == record.key
        headers = [(name, base64.b64decode(text)) for name, text in data["headers"]]
        assert headers == list(record.headers)
    assert {data["error"] for data in kept.values()} == {
        "unreadable",
        "unsigned",
        "wrong_signature",
    }


@pytest.mark.parametrize(
    "sent",
    [
        {"value": b"\xff" * ROOM, "key": b"k"},
        {"value": b"", "key": b"\xff" * ROOM},
        {"value": b"", "key": b"k" * ROOM},
        {"value": b"", "key": b"k", "headers": [("a", b"")] * 500_000},
        {"value": b"", "key": b"k", "headers": [("\x01" * 1000, b"x")] * 4000},
    ],
    ids=["value", "binary key", "text key", "headers", "names"],
)
async def test_the_largest_message_that_is_no_command_fits_in_the_dead_letters(
    door: Door, commands: TopicTail, letters: TopicTail, producer: Any, sent: dict[str, Any]
) -> None:
    await producer.send_and_wait(GENERATION_COMMANDS.name, **sent)

    async with asyncio.timeout(30):
        await door.intake.take_in(await delivered(commands))

    await letters.until(lambda seen: len(seen) == 1)
    (letter,) = contents(letters.seen)
    assert base64.b64decode(letter["data"]["value"]) == sent["value"]
    assert base64.b64decode(letter["data"]["key"]) == sent["key"]


async def test_what_is_signed_but_not_admissible_is_rejected_with_its_reasons(
    door: Door, commands: TopicTail, events: TopicTail, letters: TopicTail, producer: Any
) -> None:
    key = await door.key()
    refused = {
        "schema": strangers_command(key.project, {**PICTURE, "width": "wide"}),
        "size": strangers_command(key.project, PICTURE, {**PICTURE, "width": 68}),
        "model": strangers_command(key.project, {**PICTURE, "model": "nobody's"}),
        "never was": strangers_command(key.project, {**PICTURE, "after": [str(uuid4())]}),
        "itself": waiting_for_itself(key.project),
    }
    good = strangers_command(key.project, PICTURE)
    for value in (*refused.values(), good):
        await send(producer, value, strangers_signature(value, key.id, key.signing_secret))

    await door.intake.take_in(await delivered(commands, 6))

    jobs = {
        name: second_door_job(key.project, "/shop", json.loads(value)["id"])
        for name, value in refused.items()
    }
    await events.until(lambda _: all(events.of(str(job)) for job in jobs.values()))
    pointers = {}
    for name, job in jobs.items():
        (event,) = contents(events.of(str(job)))
        assert event["type"] == "dev.darkroom.generation.rejected.v1"
        assert event["data"]["clientref"] == "order 17"
        pointers[name] = [error["pointer"] for error in event["data"]["errors"]]
        assert await door.row(job) is None
    assert pointers == {
        "schema": ["/data/jobs/0/width"],
        "size": ["/data/jobs/1/width"],
        "model": ["/data/jobs/0/model"],
        "never was": ["/data/jobs/0/after"],
        "itself": ["/data/jobs/0/after"],
    }
    assert await door.mongo.jobs.count_documents({"project": key.project}) == 1, "all or none"
    await letters.read()
    assert letters.seen == []


async def test_a_cancel_ends_a_run_that_waits(
    door: Door, commands: TopicTail, events: TopicTail
) -> None:
    wish = Wish(spec=GenerationSpec(**PICTURE), dialect=Dialect.BLOG)
    (job,) = (await door.admission.submit("demo", [wish])).jobs
    await door.admission.cancel(job, "no longer wanted")

    await door.intake.take_in(await delivered(commands, 2))

    row = await door.row(job.run)
    assert row is not None
    assert row.state is RowState.DONE
    await events.until(lambda _: len(events.of(str(job.id))) == 2)
    assert kinds(events.of(str(job.id))) == ["accepted", "cancelled"]


async def test_a_cancel_that_overtakes_its_request_ends_it_too(
    door: Door, commands: TopicTail, events: TopicTail
) -> None:
    wish = Wish(spec=GenerationSpec(**PICTURE), dialect=Dialect.BLOG)
    (job,) = (await door.admission.submit("demo", [wish])).jobs
    await door.admission.cancel(job, "no longer wanted")
    request, cancel = await delivered(commands, 2)

    await door.intake.take_in([cancel])
    await door.intake.take_in([request])

    row = await door.row(job.run)
    assert row is not None
    assert row.state is RowState.DONE
    await events.until(lambda _: len(events.of(str(job.id))) == 2)
    assert kinds(events.of(str(job.id))) == ["accepted", "cancelled"]


async def test_nobody_cancels_what_is_another_projects(
    door: Door, commands: TopicTail, producer: Any
) -> None:
    wish = Wish(spec=GenerationSpec(**PICTURE), dialect=Dialect.BLOG)
    (job,) = (await door.admission.submit("victim", [wish])).jobs
    await door.intake.take_in(await delivered(commands))
    key = await door.key()
    kind = "dev.darkroom.generation.cancel-requested.v1"
    for data in ({"job_id": str(job.id)}, {"job_id": str(uuid4()), "run_id": str(job.run)}):
        value = strangers_command(key.project, type=kind, data=data)
        await send(producer, value, strangers_signature(value, key.id, key.signing_secret))

    await door.intake.take_in((await delivered(commands, 3))[1:])

    row = await door.row(job.run)
    assert row is not None
    assert (row.state, row.cancel) == (RowState.READY, False)


async def test_an_outage_in_the_middle_of_intake_is_waited_out(
    migrated: Settings, mongo: Mongo, commands: TopicTail, producer: Any
) -> None:
    """Each call of MongoDB and of Kafka fails once before it is answered."""
    flaky = cast(Mongo, FlakyMongo(mongo))
    publisher = RememberingPublisher(outages=[KafkaConnectionError(), TimeoutError()])
    door = Door(migrated, flaky, cast(Publisher, publisher))
    key = await Keys(mongo, SIGNER).create(f"test-{uuid4()}")
    value = strangers_command(key.project, PICTURE)
    await send(producer, value, strangers_signature(value, key.id, key.signing_secret))
    await send(producer, b"not json")

    await door.intake.take_in(await delivered(commands, 2))

    job_id = second_door_job(key.project, "/shop", json.loads(value)["id"])
    assert publisher.kinds(job_id) == ["accepted"]
    assert [topic for topic, _, _ in publisher.sent].count(DEAD_LETTERS.name) == 1
    found = await mongo.queue.find_one({"_id": job_id})
    assert found is not None
    failures = cast(FlakyMongo, flaky).failures
    assert {collection for collection, _ in failures} >= {"keys", "jobs", "queue", "tenants"}
    assert ("queue", "bulk_write") in failures


class FlakyMongo:
    """A database each of whose operations breaks the connection the first time it is used."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self.failures: set[tuple[str, str]] = set()

    def __getattr__(self, name: str) -> Any:
        return FlakyCollection(getattr(self._mongo, name), name, self.failures)

    async def transaction(self, work: Callable[[Session], Coroutine[Any, Any, Any]]) -> Any:
        return await self._mongo.transaction(work)


class FlakyCollection:
    def __init__(self, collection: Any, name: str, failures: set[tuple[str, str]]) -> None:
        self._collection = collection
        self._name = name
        self._failures = failures

    def with_options(self, **options: Any) -> "FlakyCollection":
        other = self._collection.with_options(**options)
        return FlakyCollection(other, self._name, self._failures)

    def __getattr__(self, operation: str) -> Any:
        real = getattr(self._collection, operation)

        def once_broken(*args: Any, **options: Any) -> Any:
            if (self._name, operation) not in self._failures:
                self._failures.add((self._name, operation))
                raise AutoReconnect("broken once")
            return real(*args, **options)

        return once_broken
