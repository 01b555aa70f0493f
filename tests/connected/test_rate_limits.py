"""Limits in a real MongoDB: exact however many ask at once, over however many processes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import httpx2
import pytest

from services.accounts import Keys
from services.mongo import Mongo, open_mongo
from services.rate_limits import RateLimits
from services.settings import Settings
from services.signing import Signer
from tests.conditions import until_answered
from tests.connected.api_processes import api_process

pytestmark = pytest.mark.connected

SUBMIT = "/api/v1/images/generate-async"
BODY = {"prompt": "a red circle"}


@pytest.fixture
async def mongo(migrated: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(migrated.mongo) as mongo:
        yield mongo


@pytest.fixture
def limits(mongo: Mongo) -> RateLimits:
    return RateLimits(mongo)


@pytest.fixture
def key_id() -> str:
    return str(uuid4())


async def test_of_200_at_once_over_two_processes_a_100_an_hour_key_passes_exactly_100(
    migrated: Settings, mongo: Mongo
) -> None:
    signer = Signer(migrated.master_secret.get_secret_value())
    key = await Keys(mongo, signer).create(f"test-{uuid4()}")
    headers = {"x-api-key": key.key}
    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(api_process(migrated)) for _ in range(2)]
        client = await stack.enter_async_context(httpx2.AsyncClient(timeout=60, headers=headers))
        answers = await asyncio.gather(
            *(client.post(replicas[n % 2].url + SUBMIT, json=BODY) for n in range(200))
        )

    assert key.limit == "100/hour"
    assert Counter(answer.status_code for answer in answers) == {202: 100, 429: 100}
    assert await mongo.jobs.count_documents({"project": key.project}) == 100
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all(3500 < int(answer.headers["retry-after"]) <= 3600 for answer in refused)
    left = {int(answer.headers["ratelimit"].split(";")[1][2:]) for answer in answers}
    assert left == set(range(100))


async def test_a_window_that_is_over_makes_room_for_a_new_one(
    limits: RateLimits, key_id: str
) -> None:
    first = await limits.take(key_id, "1/second")
    second = await limits.take(key_id, "1/second")

    async def passes() -> bool:
        return (await limits.take(key_id, "1/second")).window.passed

    assert (first.window.passed, second.window.passed) == (True, False)
    assert first.window.ends_at == second.window.ends_at
    assert await until_answered(passes, 10)


async def test_what_was_given_back_can_be_taken_again(limits: RateLimits, key_id: str) -> None:
    budget = await limits.take(key_id, "1/hour")
    assert not (await limits.take(key_id, "1/hour")).window.passed

    await limits.give_back(budget)

    assert (await limits.take(key_id, "1/hour")).window.passed
    assert not (await limits.take(key_id, "1/hour")).window.passed


async def test_keys_do_not_share_a_window(limits: RateLimits, key_id: str) -> None:
    await limits.take(key_id, "1/day")

    assert (await limits.take(f"{key_id}-other", "1/day")).window.passed


async def test_a_shorter_window_than_the_one_that_runs_starts_at_once(
    limits: RateLimits, key_id: str
) -> None:
    await limits.take(key_id, "1/day")

    budget = await limits.take(key_id, "1/minute")

    assert budget.window.passed
    assert budget.resets_in <= 60


async def test_what_is_over_is_deleted_by_the_server(mongo: Mongo) -> None:
    indexes = await mongo.rate_limits.index_information()

    assert indexes["over"]["key"] == [("ends_at", 1)]
    assert indexes["over"]["expireAfterSeconds"] == 60
