"""The bell on a real Kafka, and waiting without it."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from schemas.topics import GENERATION_EVENTS
from services.accounts import Keys
from services.broker import Publisher
from services.issuance import CreatedKey
from services.mongo import Mongo, open_mongo
from services.settings import Settings
from services.signing import Signer
from services.waiters import Waiters
from tests.conditions import until, until_answered
from tests.connected.api_processes import api_process
from tests.connected.library_parts import completed as fold_completed
from tests.connected.projection_parts import completed, stored_job
from tests.unit.api_fakes import make_job

pytestmark = pytest.mark.connected

GENERATE = "/api/v1/images/generate"


@pytest.fixture
async def mongo(migrated: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(migrated.mongo) as mongo:
        yield mongo


@pytest.fixture
async def key(migrated: Settings, mongo: Mongo) -> CreatedKey:
    signer = Signer(migrated.master_secret.get_secret_value())
    return await Keys(mongo, signer).create("test-waiters", limit=None)


async def test_an_end_on_kafka_rings_the_bell(migrated: Settings) -> None:
    job = make_job()
    async with (
        Waiters.open(migrated.kafka) as waiters,
        Publisher.open(migrated.kafka) as publisher,
    ):
        with waiters.bell([job.id]) as bell:
            await until(lambda: waiters.ready)
            await publisher.publish(GENERATION_EVENTS, str(job.id), completed(job).encode())

            await asyncio.wait_for(bell.wait(), 40)


async def test_who_waits_is_answered_without_kafka_too(
    migrated: Settings, mongo: Mongo, key: CreatedKey
) -> None:
    async with (
        api_process(migrated, DARKROOM_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:9") as api,
        httpx2.AsyncClient(timeout=90, headers={"x-api-key": key.key}) as client,
    ):
        waiting = asyncio.create_task(
            client.post(api.url + GENERATE, json={"prompt": "a red circle", "blog_id": "w"})
        )
        wanted = {"project": key.project, "state.status": "pending"}
        found = await until_answered(lambda: mongo.jobs.find_one(wanted))
        assert found is not None
        await fold_completed(mongo, await stored_job(mongo, found["_id"]))

        answer = await waiting

    assert answer.status_code == 200, answer.text
