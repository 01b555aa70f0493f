"""The same preset, checkpoint, size and seed through the whole path: the same file each time."""

from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from services.accounts import Keys
from services.mongo import Mongo, open_mongo
from services.settings import Settings
from services.signing import Signer
from tests.conditions import until_answered
from tests.connected.process_parts import process_of
from tests.connected.tiny_parts import tiny_settings

pytestmark = [pytest.mark.connected, pytest.mark.timeout(600)]

TIMES = 50
GENERATE = "/api/v1/generate/example_01"
SAME = {"checkpoint": "tiny", "width": 64, "height": 64, "seed": 927640517599332}


@pytest.fixture
async def settings(stack: Settings, tmp_path: Path) -> Settings:
    return await tiny_settings(stack, tmp_path)


@pytest.fixture
async def mongo(settings: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(settings.mongo) as mongo:
        yield mongo
        await mongo.client.drop_database(settings.mongo.database)


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings=settings)) as client:
        yield client


def asked(api: TestClient, path: str, **body: Any) -> list[str]:
    answer = api.post(path, json=body)
    assert answer.status_code == 202, answer.text
    return [job["job_id"] for job in answer.json().get("jobs", [answer.json()])]


async def finished(api: TestClient, job: str) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        shown: dict[str, Any] = api.get(f"/api/v1/job/{job}").json()
        return shown if shown["status"] in ("done", "failed") else {}

    shown = await until_answered(look, 300)
    assert shown["status"] == "done", shown
    return shown


async def test_the_same_file_comes_out_while_others_are_made(
    settings: Settings, mongo: Mongo, api: TestClient
) -> None:
    signer = Signer(settings.master_secret.get_secret_value())
    api.headers["x-api-key"] = (await Keys(mongo, signer).create("test-presets", limit=None)).key
    jobs, others = [], []
    for turn in range(TIMES):
        jobs += asked(api, GENERATE, **SAME)
        side = 64 + 8 * (turn % 3)
        others += asked(api, GENERATE, checkpoint="tiny", width=side, height=64, count=1 + turn % 2)

    async with process_of("workers.generator", settings), process_of("workers.projector", settings):
        done = [await finished(api, job) for job in jobs]
        for job in others:
            await finished(api, job)

    results = [job["result"] for job in done]
    assert len({result["image_url"] for result in results}) == TIMES
    assert {result["seed"] for result in results} == {SAME["seed"]}
    del api.headers["x-api-key"]
    files = [api.get(result["image_url"]) for result in results]
    assert {file.status_code for file in files} == {200}
    assert len({sha256(file.content).hexdigest() for file in files}) == 1
    for result in results:
        folder, _, name = result["relative_path"].rpartition("/")
        assert folder == "presets/example_01"
        assert name.startswith("gen_")
    await _nothing_is_left_to_sweep(mongo, jobs)
    await _a_purge_finds_its_file(api, mongo, signer, jobs[0], results[0]["image_url"])


async def _nothing_is_left_to_sweep(mongo: Mongo, jobs: list[str]) -> None:
    """The keys that were noted before the uploads are those that won."""
    rows = mongo.queue.find({"_id": {"$in": [UUID(job) for job in jobs]}})
    assert [row["uploads"] for row in await rows.to_list(None)] == [[]] * TIMES


async def _a_purge_finds_its_file(
    api: TestClient, mongo: Mongo, signer: Signer, job: str, url: str
) -> None:
    key = (await Keys(mongo, signer).create("test-presets", limit=None)).key
    purged = api.delete(f"/api/v1/generations/{job}?permanent=true", headers={"x-api-key": key})

    assert purged.status_code == 200, purged.text
    assert api.get(url).status_code == 410
