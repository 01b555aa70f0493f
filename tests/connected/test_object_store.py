"""Pictures in a real S3 server: whole, in part, absent, and the server away."""

from collections.abc import AsyncIterator
from hashlib import sha256
from uuid import uuid4

import pytest

from services.errors import NotFound, RangeNotSatisfiable, Unavailable
from services.object_store import S3ObjectStore
from services.settings import S3Settings, Settings

pytestmark = pytest.mark.connected

CONTENT = bytes(range(256)) * 1024
DIGEST = sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
async def store(stack: Settings) -> AsyncIterator[S3ObjectStore]:
    async with S3ObjectStore.open(stack.s3) as store:
        await store.ensure_bucket()
        yield store


@pytest.fixture
async def key(store: S3ObjectStore) -> str:
    key = f"generated/{uuid4()}.png"
    await store.put(key, CONTENT, "image/png", DIGEST)
    return key


async def test_what_was_put_is_got_with_its_facts(store: S3ObjectStore, key: str) -> None:
    facts = await store.head(key)

    assert await store.get(key) == CONTENT
    assert (facts.size, facts.content_type, facts.sha256) == (len(CONTENT), "image/png", DIGEST)


@pytest.mark.parametrize(
    ("wanted", "part", "shown"),
    [
        ("bytes=0-9", CONTENT[:10], "bytes 0-9/262144"),
        ("bytes=262134-", CONTENT[-10:], "bytes 262134-262143/262144"),
        ("bytes=-10", CONTENT[-10:], "bytes 262134-262143/262144"),
        ("bytes=262134-999999", CONTENT[-10:], "bytes 262134-262143/262144"),
    ],
)
async def test_a_part_is_streamed_with_its_place(
    store: S3ObjectStore, key: str, wanted: str, part: bytes, shown: str
) -> None:
    async with store.stream(key, wanted) as found:
        content = b"".join([chunk async for chunk in found.chunks()])

    assert content == part
    assert found.facts.content_range == shown
    assert (found.facts.content_length, found.facts.size) == (len(part), len(CONTENT))
    assert found.facts.sha256 == DIGEST


@pytest.mark.parametrize("wanted", ["bytes=262144-", "bytes=999999-1000000", "bytes=-0"])
async def test_a_part_outside_is_not_satisfiable(
    store: S3ObjectStore, key: str, wanted: str
) -> None:
    with pytest.raises(RangeNotSatisfiable):
        async with store.stream(key, wanted):
            pass


async def test_what_is_not_there_is_not_found(store: S3ObjectStore) -> None:
    key = f"generated/{uuid4()}.png"

    with pytest.raises(NotFound):
        await store.get(key)
    with pytest.raises(NotFound):
        await store.head(key)


async def test_deleting_twice_is_no_error(store: S3ObjectStore, key: str) -> None:
    await store.delete(key)
    await store.delete(key)

    with pytest.raises(NotFound):
        await store.head(key)


async def test_the_bucket_is_made_once_and_found_after(stack: Settings) -> None:
    settings = stack.s3.model_copy(update={"bucket": f"bucket-{uuid4()}"})
    async with S3ObjectStore.open(settings) as store:
        with pytest.raises(NotFound):
            await store.ping()

        await store.ensure_bucket()
        await store.ensure_bucket()

        await store.ping()


async def test_a_server_that_is_away_is_unavailable() -> None:
    settings = S3Settings.model_validate(
        {
            "endpoint_url": "http://127.0.0.1:9",
            "aws_access_key_id": "key",
            "aws_secret_access_key": "secret",
        }
    )
    async with S3ObjectStore.open(settings) as store:
        with pytest.raises(Unavailable):
            await store.get("generated/x.png")


async def test_a_wrong_secret_is_unavailable_and_says_so(stack: Settings) -> None:
    wrong = S3Settings.model_validate(
        stack.s3.model_dump() | {"aws_secret_access_key": "not the secret"}
    )
    async with S3ObjectStore.open(wrong) as store:
        with pytest.raises(Unavailable):
            await store.put("generated/x.png", b"x", "image/png", DIGEST)
