"""Two API processes at once: one wins a name, one begins a retry; the command line retries too."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from typer.testing import CliRunner

from compose.cli import build
from schemas.jobs import Job, Status
from services.accounts import Keys
from services.issuance import CreatedKey
from services.mongo import Mongo, open_mongo
from services.settings import Settings
from services.signing import Signer
from tests.connected.api_processes import ApiProcess, api_process
from tests.connected.library_parts import completed, failed, uploaded
from tests.connected.projection_parts import stored_job

pytestmark = [pytest.mark.connected, pytest.mark.timeout(300)]

GENERATIONS = "/api/v1/generations"


@pytest.fixture
async def mongo(migrated: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(migrated.mongo) as mongo:
        yield mongo


@pytest.fixture(scope="module")
async def apis(migrated: Settings) -> AsyncIterator[tuple[ApiProcess, ApiProcess]]:
    async with api_process(migrated) as one, api_process(migrated) as other:
        yield one, other


@pytest.fixture
async def key(migrated: Settings, mongo: Mongo) -> CreatedKey:
    signer = Signer(migrated.master_secret.get_secret_value())
    return await Keys(mongo, signer).create(f"test-{uuid4()}", limit="1000000/day")


@pytest.fixture
async def client(key: CreatedKey) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=60, headers={"x-api-key": key.key}) as client:
        yield client


async def at_once(
    client: httpx2.AsyncClient,
    apis: tuple[ApiProcess, ApiProcess],
    count: int,
    path: str,
    body: Any,
) -> list[httpx2.Response]:
    posts = (client.post(apis[n % 2].url + path, json=body) for n in range(count))
    return list(await asyncio.gather(*posts))


async def made(client: httpx2.AsyncClient, api: ApiProcess, mongo: Mongo, **body: Any) -> Job:
    answer = await client.post(api.url + GENERATIONS, json={"prompt": "a red circle", **body})
    assert answer.status_code == 201, answer.text
    return await stored_job(mongo, UUID(answer.json()["data"]["id"]))


async def test_fifty_claims_of_one_name(
    client: httpx2.AsyncClient, apis: tuple[ApiProcess, ApiProcess], mongo: Mongo, key: CreatedKey
) -> None:
    body = {"prompt": "a red circle", "alias": "@hero"}

    answers = await at_once(client, apis, 50, GENERATIONS, body)

    assert Counter(answer.status_code for answer in answers) == {201: 1, 400: 49}
    refused = [answer.json() for answer in answers if answer.status_code == 400]
    assert {reply["error"]["message"] for reply in refused} == {"Alias already exists"}
    assert await mongo.jobs.count_documents({"project": key.project}) == 1


async def test_one_name_for_fifty_images(
    client: httpx2.AsyncClient, apis: tuple[ApiProcess, ApiProcess], mongo: Mongo, key: CreatedKey
) -> None:
    images = [await uploaded(mongo, key.project) for _ in range(50)]
    paths = [f"{apis[n % 2].url}/api/v1/images/{image.id}" for n, image in enumerate(images)]

    answers = await asyncio.gather(
        *(client.put(f"{path}/alias", json={"alias": "@cover"}) for path in paths)
    )

    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 49}
    (winner,) = [answer.json()["data"] for answer in answers if answer.status_code == 200]
    found = await client.get(f"{apis[0].url}/api/v1/images/resolve/@cover")
    assert found.json()["data"]["image"]["id"] == winner["id"]


async def test_twenty_requests_with_one_idempotency_key_begin_one_flow(
    client: httpx2.AsyncClient, apis: tuple[ApiProcess, ApiProcess], mongo: Mongo, key: CreatedKey
) -> None:
    client.headers["idempotency-key"] = "once"

    answers = await at_once(client, apis, 20, "/api/v1/flows", {"meta": {"name": "x"}})

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 19
    assert await mongo.flows.count_documents({"project": key.project}) == 1


async def test_twenty_retries_of_one_generation(
    client: httpx2.AsyncClient, apis: tuple[ApiProcess, ApiProcess], mongo: Mongo
) -> None:
    job = await made(client, apis[0], mongo)
    image = await completed(mongo, job)

    answers = await at_once(client, apis, 20, f"{GENERATIONS}/{job.id}/retry", {})

    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: 19}
    (begun,) = [answer.json()["data"] for answer in answers if answer.status_code == 200]
    assert (begun["status"], begun["retryCount"]) == ("pending", 1)
    assert begun["outputImageId"] == str(image), "the last good one stays"


async def test_the_command_line_retries_what_has_failed(
    client: httpx2.AsyncClient, apis: tuple[ApiProcess, ApiProcess], mongo: Mongo, key: CreatedKey
) -> None:
    jobs = [await made(client, apis[0], mongo) for _ in range(2)]
    for job in jobs:
        await failed(mongo, job)
    words = ["jobs", "retry", *(str(job.id) for job in jobs), "--seed", "7"]
    access = ["--url", apis[1].url, "--key", key.key, "--json"]

    result = await asyncio.to_thread(CliRunner().invoke, build("jobs"), [*words, *access])

    assert result.exit_code == 0, result.output
    shown = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["job_id"], row["status"]) for row in shown] == [
        (str(job.id), "queued") for job in jobs
    ]
    for job in jobs:
        again = await stored_job(mongo, job.id)
        assert (again.status, again.run_number, again.spec.seed) == (Status.PENDING, 2, 7)
