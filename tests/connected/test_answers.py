"""One answer a key in a real MongoDB, whoever asks at once and whoever dies half way."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from schemas.common import now
from schemas.jobs import Idempotency
from services.answers import Answer, Answers
from services.errors import IdempotencyMismatch, NotFound
from services.mongo import Mongo, open_mongo
from services.settings import Settings

pytestmark = pytest.mark.connected


class Maker:
    """Makes things, and knows how often and under which ids."""

    def __init__(self) -> None:
        self.things: list[UUID] = []
        self.error: BaseException | None = None
        self.seconds = 0.02

    async def __call__(self, thing: UUID) -> Answer:
        self.things.append(thing)
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        return Answer(status_code=201, headers={"location": f"/{thing}"}, body=thing.bytes)


@pytest.fixture
async def mongo(migrated: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(migrated.mongo) as mongo:
        yield mongo


@pytest.fixture
def answers(mongo: Mongo) -> Answers:
    return Answers(mongo)


@pytest.fixture
def make() -> Maker:
    return Maker()


@pytest.fixture
def key() -> Idempotency:
    expires = now() + timedelta(days=1)
    return Idempotency(scope="s", key=str(uuid4()), request_sha256="a" * 64, expires_at=expires)


async def test_of_many_at_once_one_makes_and_all_answer_alike(
    mongo: Mongo, make: Maker, key: Idempotency
) -> None:
    found = await asyncio.gather(*(Answers(mongo).once(key, make) for _ in range(10)))

    assert len(make.things) == 1
    assert {answer.body for answer, _ in found} == {make.things[0].bytes}
    assert sorted(replayed for _, replayed in found) == [False] + [True] * 9


async def test_who_takes_longer_than_the_dead_is_not_taken_for_one(
    mongo: Mongo, make: Maker, key: Idempotency, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.answers.ABANDONED_AFTER", timedelta(seconds=1))
    monkeypatch.setattr("services.answers.RENEWED_EVERY", timedelta(seconds=0.1))
    make.seconds = 3.0

    found = await asyncio.gather(*(Answers(mongo).once(key, make) for _ in range(2)))

    assert len(make.things) == 1
    assert len({answer.body for answer, _ in found}) == 1


async def test_another_request_under_the_key_is_refused(
    answers: Answers, make: Maker, key: Idempotency
) -> None:
    await answers.once(key, make)

    with pytest.raises(IdempotencyMismatch):
        await answers.once(key.model_copy(update={"request_sha256": "b" * 64}), make)


async def test_what_was_refused_is_not_remembered(
    answers: Answers, make: Maker, key: Idempotency
) -> None:
    make.error = NotFound()
    with pytest.raises(NotFound):
        await answers.once(key, make)

    make.error = None
    _, replayed = await answers.once(key, make)

    assert not replayed


async def test_after_a_death_half_way_the_next_is_to_make_the_same_thing(
    answers: Answers, mongo: Mongo, make: Maker, key: Idempotency
) -> None:
    make.error = RuntimeError()
    with pytest.raises(RuntimeError):
        await answers.once(key, make)
    await mongo.answers.update_many({"answer": None}, {"$set": {"claimed_until": now()}})

    make.error = None
    answer, replayed = await answers.once(key, make)

    assert not replayed
    assert make.things == [make.things[0]] * 2
    assert answer.body == make.things[0].bytes


async def test_a_key_whose_day_is_over_is_free(
    answers: Answers, mongo: Mongo, make: Maker, key: Idempotency
) -> None:
    await answers.once(key, make)
    await mongo.answers.update_many({}, {"$set": {"expires_at": now()}})

    _, replayed = await answers.once(key, make)

    assert not replayed
    assert len(set(make.things)) == 2
