"""Admission on a real MongoDB: all or none, once per key, and an answer whatever Kafka does."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import pytest

from schemas.common import now
from schemas.jobs import Dialect, GenerationSpec, Idempotency, Job
from schemas.topics import GENERATION_COMMANDS
from services.admission import Admission, Admitted, Wish
from services.broker import BROKER_OUTAGES, Publisher
from services.commands import CommandReader
from services.dispatch import command_of
from services.engine.catalogue import Catalogue
from services.errors import IdempotencyMismatch, InvalidRequest
from services.mongo import Mongo
from services.outbox import Outbox
from services.settings import ROOT, KafkaSettings, OutboxSettings, Settings
from services.signing import Signer
from tests.conditions import until_answered
from tests.connected.kafka_parts import TopicTail, tail_of
from tests.connected.queue_parts import RememberingPublisher, own_database

pytestmark = pytest.mark.connected

CATALOGUE = Catalogue.load(ROOT / "models" / "models.yaml")
SIGNER = Signer("a master secret of tests")
WISH = Wish(spec=GenerationSpec(prompt="a cat", model="tiny"), dialect=Dialect.BLOG)
A_DAY = timedelta(days=1)


@pytest.fixture(scope="module")
async def mongo(migrated: Settings) -> AsyncIterator[Mongo]:
    async with own_database(migrated) as mongo:
        yield mongo


@pytest.fixture
async def publisher(migrated: Settings) -> AsyncIterator[Publisher]:
    async with Publisher.open(migrated.kafka) as publisher:
        yield publisher


@pytest.fixture
async def commands(migrated: Settings) -> AsyncIterator[TopicTail]:
    async with tail_of(migrated, GENERATION_COMMANDS) as tail:
        yield tail


@pytest.fixture
def project() -> str:
    return f"test-{uuid4()}"


@pytest.fixture
def admission(mongo: Mongo) -> Admission:
    """With a broker that takes everything at once."""
    return Admission(mongo, cast(Publisher, RememberingPublisher()), SIGNER, CATALOGUE)


def key_of(project: str, sha: str = "a", expires_in: timedelta = A_DAY) -> Idempotency:
    return Idempotency(
        scope=f"{project}::POST /generate",
        key="same",
        request_sha256=sha * 64,
        expires_at=now() + expires_in,
    )


async def jobs_of(mongo: Mongo, project: str) -> list[Job]:
    return [Job.model_validate(found) async for found in mongo.jobs.find({"project": project})]


async def marked(mongo: Mongo, project: str) -> bool:
    return all(job.published for job in await jobs_of(mongo, project))


async def test_a_job_is_stored_then_published_then_marked(
    mongo: Mongo, publisher: Publisher, commands: TopicTail, project: str
) -> None:
    admission = Admission(mongo, publisher, SIGNER, CATALOGUE)

    (job,) = (await admission.submit(project, [WISH])).jobs

    assert [stored.id for stored in await jobs_of(mongo, project)] == [job.id]
    await commands.until(lambda _: commands.of(str(job.id)))
    (message,) = commands.of(str(job.id))
    assert message.value == command_of([job]).encode()
    reader = CommandReader(SIGNER, cast(Any, None))
    assert (await reader.read(message.value, tuple(message.headers))).ours
    await until_answered(lambda: marked(mongo, project))


async def test_nothing_is_published_before_it_can_be_polled(mongo: Mongo, project: str) -> None:
    there: list[int] = []

    class Looking(RememberingPublisher):
        async def publish(self, *args: Any) -> None:
            there.append(len(await jobs_of(mongo, project)))

    admission = Admission(mongo, cast(Publisher, Looking()), SIGNER, CATALOGUE)
    await admission.submit(project, [WISH, WISH])

    assert there == [2]


async def test_a_batch_is_stored_whole_or_not_at_all(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    taken = (await admission.submit(project, [WISH])).jobs[0].id
    other = f"{project}-other"
    ids = iter([uuid4(), uuid4(), taken])
    admit = admission.admit

    def clashing(project: str, wish: Wish, job: Any) -> Job:
        return admit(project, wish, next(ids))

    admission.admit = clashing  # type: ignore[method-assign]
    with pytest.raises(Exception, match="E11000"):
        await admission.submit(other, [WISH] * 3)

    assert await jobs_of(mongo, other) == []


async def test_a_batch_with_one_bad_wish_stores_none(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    bad = WISH.model_copy(update={"spec": GenerationSpec(prompt="x", model="nobody's")})

    with pytest.raises(InvalidRequest):
        await admission.submit(project, [WISH, bad])

    assert await jobs_of(mongo, project) == []


async def test_the_same_key_and_request_get_the_first_answer_again(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    first = await admission.submit(project, [WISH], idempotency=key_of(project))
    again = await admission.submit(project, [WISH], idempotency=key_of(project))

    assert (first.replayed, again.replayed) == (False, True)
    assert [job.id for job in again.jobs] == [job.id for job in first.jobs]
    assert len(await jobs_of(mongo, project)) == 1


async def test_a_batch_is_answered_whole_again(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    batch = [WISH.model_copy(update={"batch_id": uuid4()})] * 3
    wishes = [Wish.model_validate(dict(wish)) for wish in batch]

    first = await admission.submit(project, wishes, idempotency=key_of(project))
    again = await admission.submit(project, wishes, idempotency=key_of(project))

    assert again.replayed
    assert [job.id for job in again.jobs] == [job.id for job in first.jobs]
    assert len(await jobs_of(mongo, project)) == 3


async def test_a_replay_publishes_what_the_broker_has_not_acknowledged(
    mongo: Mongo, project: str
) -> None:
    publisher = RememberingPublisher(outages=[TimeoutError()])
    admission = Admission(mongo, cast(Publisher, publisher), SIGNER, CATALOGUE)
    first = await admission.submit(project, [WISH], idempotency=key_of(project))
    assert publisher.sent == []

    await admission.submit(project, [WISH], idempotency=key_of(project))

    assert [value for _, _, value in publisher.sent] == [command_of(first.jobs).encode()]


async def test_the_same_key_for_another_request_is_refused(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    await admission.submit(project, [WISH], idempotency=key_of(project))

    with pytest.raises(IdempotencyMismatch):
        await admission.submit(project, [WISH], idempotency=key_of(project, "b"))

    assert len(await jobs_of(mongo, project)) == 1


async def test_a_key_is_of_its_scope_only(mongo: Mongo, admission: Admission, project: str) -> None:
    other = f"{project}-other"

    for owner in (project, other):
        admitted = await admission.submit(owner, [WISH], idempotency=key_of(owner))
        assert not admitted.replayed


async def test_an_expired_key_may_be_used_anew_and_the_first_job_stays(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    past = key_of(project, expires_in=-timedelta(seconds=1))
    first = await admission.submit(project, [WISH], idempotency=past)

    second = await admission.submit(project, [WISH], idempotency=key_of(project, "b"))
    third = await admission.submit(project, [WISH], idempotency=key_of(project, "b"))

    assert (second.replayed, third.replayed) == (False, True)
    ids = {job.id for job in await jobs_of(mongo, project)}
    assert ids == {first.jobs[0].id, second.jobs[0].id}


@pytest.mark.parametrize("count", [1, 3])
async def test_twenty_submits_at_once_with_one_key_make_one_job(
    mongo: Mongo, admission: Admission, project: str, count: int
) -> None:
    batch_id = uuid4() if count > 1 else None
    wish = Wish(spec=WISH.spec, dialect=Dialect.BLOG, batch_id=batch_id)

    async def submit() -> Admitted:
        return await admission.submit(project, [wish] * count, idempotency=key_of(project))

    answers = await asyncio.gather(*(submit() for _ in range(20)))

    assert len({tuple(job.id for job in answer.jobs) for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert len(await jobs_of(mongo, project)) == count


@pytest.fixture(params=["refuses", "is silent"])
async def away(request: pytest.FixtureRequest) -> AsyncIterator[KafkaSettings]:
    """A broker that is away: nobody listens, or somebody who never answers."""
    hung_up = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hung_up.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    if request.param == "refuses":
        server.close()
    yield KafkaSettings(bootstrap_servers=f"{host}:{port}")
    hung_up.set()
    server.close()


async def test_a_broker_that_is_away_delays_the_command_and_not_the_answer(
    mongo: Mongo, away: KafkaSettings, project: str
) -> None:
    loop = asyncio.get_running_loop()
    async with Publisher.open(away) as publisher:
        admission = Admission(mongo, publisher, SIGNER, CATALOGUE)
        began = loop.time()

        answers = await asyncio.gather(*(admission.submit(project, [WISH]) for _ in range(5)))

        assert loop.time() - began < 2.5
    stored = await jobs_of(mongo, project)
    assert {job.id for job in stored} == {answer.jobs[0].id for answer in answers}
    assert not any(job.published for job in stored)


async def test_a_broker_that_is_away_is_not_waited_for_by_a_cancel(
    mongo: Mongo, away: KafkaSettings, project: str
) -> None:
    loop = asyncio.get_running_loop()
    async with Publisher.open(away) as publisher:
        admission = Admission(mongo, publisher, SIGNER, CATALOGUE)
        job = admission.admit(project, WISH, uuid4())
        began = loop.time()

        with pytest.raises(BROKER_OUTAGES):
            await admission.cancel(job, "no longer wanted")

        assert loop.time() - began < 2.5


async def test_the_outbox_publishes_what_the_broker_missed_and_marks_it(
    mongo: Mongo, publisher: Publisher, commands: TopicTail, project: str
) -> None:
    missed = RememberingPublisher(outages=[TimeoutError()])
    absent = Admission(mongo, cast(Publisher, missed), SIGNER, CATALOGUE)
    wishes = [Wish(spec=WISH.spec, dialect=Dialect.BLOG, batch_id=uuid4())] * 3
    jobs = (await absent.submit(project, wishes)).jobs
    admission = Admission(mongo, publisher, SIGNER, CATALOGUE)

    await Outbox(mongo, admission, OutboxSettings(after=timedelta(hours=1))).republish()
    await commands.read()
    assert commands.of(str(jobs[0].id)) == [], "the API may still be at it"
    await Outbox(mongo, admission, OutboxSettings(after=timedelta(0))).republish()

    await commands.until(lambda _: commands.of(str(jobs[0].id)))
    (message,) = commands.of(str(jobs[0].id))
    assert message.value == command_of(jobs).encode(), "one command, as it would have been"
    await until_answered(lambda: marked(mongo, project))
