"""The whole API on real parts: what it promises while they answer, and while one is away."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from uuid import uuid4

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from api.app import create_app
from services.accounts import Keys
from services.issuance import CreatedKey
from services.mongo import open_mongo
from services.object_store import S3ObjectStore
from services.settings import Settings
from services.signing import Signer

pytestmark = pytest.mark.connected

SUBMIT = "/api/v1/images/generate-async"
JOBS = "/api/v1/images/jobs"
BODY = {"prompt": "a red circle on a blue background"}
NOWHERE = "127.0.0.1:9"


@contextmanager
def running(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings=settings)) as client:
        yield client


@pytest.fixture(scope="module")
async def key(migrated: Settings) -> CreatedKey:
    signer = Signer(migrated.master_secret.get_secret_value())
    async with open_mongo(migrated.mongo) as mongo:
        return await Keys(mongo, signer).create(f"test-{uuid4()}", limit=None)


@pytest.fixture(scope="module")
def client(migrated: Settings, key: CreatedKey) -> Iterator[TestClient]:
    with running(migrated) as client:
        client.headers["x-api-key"] = key.key
        yield client


def test_200_submits_polled_at_once_are_all_found_and_queued(client: TestClient) -> None:
    for _ in range(200):
        submitted = client.post(SUBMIT, json=BODY)
        poll = client.get(submitted.headers["location"])

        assert (submitted.status_code, poll.status_code) == (202, 200)
        assert poll.json()["job_id"] == submitted.json()["job_id"]
        assert poll.json()["status"] == "queued"


def test_one_idempotency_key_makes_one_job_however_many_ask_at_once(client: TestClient) -> None:
    headers = {"idempotency-key": str(uuid4())}
    body = BODY | {"blog_id": str(uuid4())}

    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: client.post(SUBMIT, json=body, headers=headers), range(16))
        )

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 15
    assert client.get(JOBS, params={"blog_id": body["blog_id"]}).json()["total"] == 1


def test_a_list_is_of_one_blog_newest_first(client: TestClient) -> None:
    body = BODY | {"blog_id": str(uuid4())}
    made = [client.post(SUBMIT, json=body).json()["job_id"] for _ in range(5)]

    page = client.get(JOBS, params={"blog_id": body["blog_id"], "limit": 2, "offset": 1}).json()

    assert page["total"] == 5
    assert [job["job_id"] for job in page["jobs"]] == [made[3], made[2]]


def test_every_part_is_ready(client: TestClient) -> None:
    response = client.get("/readyz")

    assert response.status_code == 200
    assert set(response.json()["parts"]) == {"mongo", "kafka", "s3"}


async def test_a_stored_picture_is_served_whole_and_in_part(
    migrated: Settings, client: TestClient
) -> None:
    content, path = b"picture" * 100_000, f"generated/{uuid4()}.png"
    digest = sha256(content).hexdigest()
    async with S3ObjectStore.open(migrated.s3) as store:
        await store.put(path, content, "image/png", digest)

    url = f"/static/uploads/{path}"
    whole = client.get(url)
    part = client.get(url, headers={"range": "bytes=7-13"})
    outside = client.get(url, headers={"range": "bytes=700000-"})
    known = client.get(url, headers={"if-none-match": whole.headers["etag"]})

    assert (whole.content, whole.headers["etag"]) == (content, f'"{digest}"')
    assert (part.status_code, part.content) == (206, b"picture")
    assert part.headers["content-range"] == "bytes 7-13/700000"
    assert (outside.status_code, outside.headers["content-range"]) == (416, "bytes */700000")
    assert (known.status_code, known.content) == (304, b"")


def test_mongodb_away_is_503_within_five_seconds_for_all_but_healthz(
    migrated: Settings, key: CreatedKey
) -> None:
    url = SecretStr(f"mongodb://{NOWHERE}/?replicaSet=rs0")
    away = migrated.model_copy(update={"mongo": migrated.mongo.model_copy(update={"url": url})})
    headers = {"x-api-key": key.key}
    with running(away) as client:
        began = time.monotonic()
        submitted = client.post(SUBMIT, json=BODY, headers=headers)
        seconds = time.monotonic() - began
        polled = client.get(f"{JOBS}/{uuid4()}", headers=headers)
        alive = client.get("/healthz")
        ready = client.get("/readyz")

    assert (submitted.status_code, polled.status_code) == (503, 503)
    assert seconds < 5
    assert set(submitted.json()) == {"detail"}
    assert submitted.headers["retry-after"] == "1"
    assert (alive.status_code, ready.status_code) == (200, 503)
    assert ready.json()["parts"]["mongo"]["ok"] is False
    assert ready.json()["parts"]["s3"]["ok"] is True


def test_kafka_away_delays_a_job_and_refuses_none(migrated: Settings, key: CreatedKey) -> None:
    kafka = migrated.kafka.model_copy(update={"bootstrap_servers": NOWHERE})
    headers = {"x-api-key": key.key}
    with running(migrated.model_copy(update={"kafka": kafka})) as client:
        submitted = client.post(SUBMIT, json=BODY, headers=headers)
        poll = client.get(submitted.headers["location"], headers=headers)
        ready = client.get("/readyz")

    assert submitted.status_code == 202
    assert poll.json()["status"] == "queued"
    assert ready.json()["parts"]["kafka"]["ok"] is False
