"""An API process killed between insert and reply: one job, and the same answer when asked again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx2
import pytest

from compose.embedded.ports import HOST
from services.accounts import Keys
from services.issuance import CreatedKey
from services.mongo import Document, Mongo, open_mongo
from services.settings import Settings
from services.signing import Signer
from tests.conditions import until_answered
from tests.connected.api_processes import ApiProcess, api_process

pytestmark = [pytest.mark.connected, pytest.mark.timeout(300)]

SUBMIT = "/api/v1/images/generate-async"
KILLS = 50


@pytest.fixture
async def mongo(migrated: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(migrated.mongo) as mongo:
        yield mongo


@pytest.fixture
async def key(migrated: Settings, mongo: Mongo) -> CreatedKey:
    signer = Signer(migrated.master_secret.get_secret_value())
    return await Keys(mongo, signer).create(f"test-{uuid4()}", limit="1000000/day")


@asynccontextmanager
async def silent_broker() -> AsyncIterator[str]:
    """Takes connections and never answers: a submit is inserted, and its reply waits."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            pass
        writer.close()

    server = await asyncio.start_server(say_nothing, HOST, 0)
    async with server:
        yield f"{HOST}:{server.sockets[0].getsockname()[1]}"


async def test_killed_50_times_each_key_makes_one_job_and_gets_one_answer(
    migrated: Settings, mongo: Mongo, key: CreatedKey
) -> None:
    headers = {"x-api-key": key.key}
    async with (
        silent_broker() as broker,
        api_process(migrated) as other,
        httpx2.AsyncClient(timeout=60, headers=headers) as client,
    ):
        for _ in range(KILLS):
            once = {"idempotency-key": str(uuid4())}
            body = {"prompt": "a red circle", "blog_id": once["idempotency-key"]}
            async with api_process(migrated, DARKROOM_KAFKA__BOOTSTRAP_SERVERS=broker) as victim:
                lost = asyncio.create_task(
                    client.post(victim.url + SUBMIT, json=body, headers=once)
                )
                job = await _killed_after_insert(mongo, victim, once["idempotency-key"])
                with pytest.raises(httpx2.TransportError):
                    await lost

            first, second = [
                await client.post(other.url + SUBMIT, json=body, headers=once) for _ in range(2)
            ]

            assert (first.status_code, first.content) == (202, second.content)
            assert first.headers["idempotent-replayed"] == "true"
            assert first.headers["location"] == second.headers["location"]
            assert first.json()["job_id"] == job
        published = {"project": key.project, "published": True}
        await until_answered(lambda: _counted(mongo, published, KILLS))
    assert await mongo.jobs.count_documents({"project": key.project}) == KILLS


async def _killed_after_insert(mongo: Mongo, victim: ApiProcess, key: str) -> str:
    async def inserted() -> str:
        document = await mongo.jobs.find_one({"idempotency.key": key})
        return str(document["_id"]) if document else ""

    job = await until_answered(inserted)
    await victim.kill()
    return job


async def _counted(mongo: Mongo, wanted: Document, count: int) -> bool:
    return await mongo.jobs.count_documents(wanted) == count
