"""Uploads over HTTP and their crash points: real MongoDB and S3, chunked bodies and all."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256
from io import BytesIO
from threading import Event, Semaphore
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from PIL import Image

from schemas.common import now
from schemas.images import Image as Stored
from services.accounts import Keys
from services.errors import AliasTaken, NotFound, Unavailable
from services.library.decoding import DecodedUpload, decode
from services.library.feed import Feed
from services.library.uploads import DECODED_AT_ONCE, STALE_AFTER, Belongings, Uploads
from services.mongo import Mongo, open_mongo
from services.object_store import S3ObjectStore
from services.settings import Settings
from services.signing import Signer
from tests.connected.api_processes import api_process
from tests.connected.library_parts import library_database

pytestmark = pytest.mark.connected

UPLOAD = "/api/v1/images/upload"
LIMIT = 5 * 1024 * 1024
Answer = tuple[int, dict[str, Any]]


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    content = BytesIO()
    Image.new("RGB", size, "teal").save(content, kind, **options)
    return content.getvalue()


@pytest.fixture(scope="module")
async def api(migrated: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    """With a key of a project of its own."""
    signer = Signer(migrated.master_secret.get_secret_value())
    async with open_mongo(migrated.mongo) as mongo, api_process(migrated) as process:
        created = await Keys(mongo, signer).create(f"project-{uuid4().hex}")
        headers = {"X-API-Key": created.key}
        async with httpx2.AsyncClient(base_url=process.url, headers=headers, timeout=60) as client:
            yield client


async def upload(
    api: httpx2.AsyncClient,
    content: bytes | None,
    headers: dict[str, str] | None = None,
    **fields: str,
) -> Answer:
    files = {} if content is None else {"file": ("a picture.png", content, "image/png")}
    answer = await api.post(UPLOAD, data=fields, files=files or None, headers=headers)
    return answer.status_code, answer.json()


async def refused(api: httpx2.AsyncClient, content: bytes | None, **fields: str) -> tuple[int, str]:
    status, body = await upload(api, content, None, **fields)
    assert body["success"] is False
    return status, body["error"]["message"]


@pytest.mark.parametrize(("kind", "end"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp")])
async def test_an_upload_is_an_image_of_the_library_and_its_url_serves(
    api: httpx2.AsyncClient, kind: str, end: str
) -> None:
    alias = f"@hero-{end}"
    status, body = await upload(api, picture(kind), alias=alias, meta='{"from": "a test"}')
    shown = body["data"]
    served = await api.get(shown["url"])

    assert (status, body["success"]) == (201, True)
    assert shown["source"] == "uploaded"
    assert (shown["width"], shown["height"], shown["alias"]) == (40, 30, alias)
    assert shown["meta"] == {"from": "a test"}
    assert shown["relativePath"] == f"uploads/{shown['id']}.{end}"
    assert shown["mimeType"] == served.headers["content-type"] == f"image/{kind.lower()}"
    assert shown["fileSize"] == len(served.content)
    assert served.headers["etag"] == f'"{sha256(served.content).hexdigest()}"'
    assert (await api.get(f"/api/v1/images/{shown['id']}")).json()["data"] == shown
    resolved = (await api.get(f"/api/v1/images/resolve/{alias}")).json()["data"]
    assert resolved["image"]["id"] == shown["id"]
    newest = (await api.get("/api/v1/images/resolve/@upload")).json()["data"]
    assert newest["image"]["id"] == shown["id"]


async def test_a_flow_may_have_it_under_a_name_of_its_own(api: httpx2.AsyncClient) -> None:
    flow = (await api.post("/api/v1/flows", json={})).json()["data"]["id"]
    status, body = await upload(api, picture(), flowId=flow, flowAlias="@start")
    seen = (await api.get(f"/api/v1/flows/{flow}")).json()["data"]

    assert status == 201
    assert body["data"]["flowId"] == flow
    assert seen["aliases"] == {"@start": body["data"]["id"]}
    assert seen["imageCount"] == 1


async def test_it_stands_upright_and_tells_nothing_but_its_pixels(api: httpx2.AsyncClient) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a secret place"
    content = picture("JPEG", exif=exif.tobytes())
    assert b"a secret place" in content

    _, body = await upload(api, content)
    served = (await api.get(body["data"]["url"])).content

    assert (body["data"]["width"], body["data"]["height"]) == (30, 40)
    assert b"secret" not in served
    assert Image.open(BytesIO(served)).size == (30, 40)


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"alias": "hero"}, (400, "Invalid alias")),
        ({"alias": ""}, (400, "Invalid alias")),
        ({"alias": "@last"}, (400, "Reserved alias")),
        ({"flowId": str(uuid4())}, (404, "Flow not found")),
        ({"flowId": "no id"}, (404, "Flow not found")),
        ({"flowAlias": "@a"}, (400, "A flow's alias needs a flow")),
    ],
)
async def test_fields_are_checked_before_anything_is_stored(
    api: httpx2.AsyncClient, fields: dict[str, str], refusal: tuple[int, str]
) -> None:
    assert await refused(api, picture(), **fields) == refusal


@pytest.mark.parametrize("meta", ["{", "[1]", "1", '"x"', '{"a": "\\u0000"}', "NaN", "[" * 5000])
async def test_meta_is_an_object_in_json(api: httpx2.AsyncClient, meta: str) -> None:
    status, message = await refused(api, picture(), meta=meta)

    assert status == 400
    assert message.startswith("meta")


async def test_an_empty_field_of_a_form_is_none(api: httpx2.AsyncClient) -> None:
    status, body = await upload(api, picture(), meta="", flowId="")

    assert (status, body["data"]["meta"], body["data"]["flowId"]) == (201, {}, None)


async def test_a_name_that_another_image_has_is_taken(api: httpx2.AsyncClient) -> None:
    assert (await upload(api, picture(), alias="@taken"))[0] == 201

    assert await refused(api, picture(), alias="@taken") == (400, "Alias already exists")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text", "Unsupported image format"),
        (picture("GIF"), "Unsupported image format"),
        (picture()[:-20], "Unsupported image format"),
        (picture() + b"PK\x03\x04", "Unsupported image format"),
        (None, "File is required, as multipart/form-data"),
        (b"", "File is required, as multipart/form-data"),
        (bytes(LIMIT + 1), "File too large"),
        (bytes(LIMIT), "Unsupported image format"),
    ],
)
async def test_what_is_no_picture_or_too_large_is_refused(
    api: httpx2.AsyncClient, content: bytes | None, message: str
) -> None:
    assert await refused(api, content) == (400, message)


async def test_a_file_as_large_as_allowed_is_taken(api: httpx2.AsyncClient) -> None:
    noise = Image.effect_noise((1_280, 1_350), 200).convert("RGB")
    content = BytesIO()
    noise.save(content, "PNG", compress_level=0)
    assert LIMIT - 100_000 < len(content.getvalue()) <= LIMIT

    assert (await upload(api, content.getvalue()))[0] == 201


async def test_an_endless_body_is_refused_while_it_comes(api: httpx2.AsyncClient) -> None:
    """Chunked, so that no header says how long it will be."""
    assert api.base_url.port is not None
    reader, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port)
    head = f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nX-API-Key: {api.headers['x-api-key']}\r\n"
    head += "Transfer-Encoding: chunked\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n"
    writer.write(head.encode())
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    answered = asyncio.create_task(reader.readuntil(b"}}"))
    sent = 0
    async with asyncio.timeout(30):
        while not answered.done():
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await writer.drain()
            sent += len(part)
            part = bytes(64 * 1024)
            await asyncio.sleep(0)
    answer = answered.result()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"File too large" in answer
    assert sent < 32 * 1024 * 1024


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b"no form"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: nothing\r\n\r\n\r\n--x--",
        ),
        ("multipart/form-data; boundary=x; charset=idna", b"--x\r\n\xff\r\n"),
        ("text/plain", picture()),
    ],
)
async def test_what_is_no_form_is_refused(api: httpx2.AsyncClient, kind: str, body: bytes) -> None:
    answer = await api.post(UPLOAD, content=body, headers={"Content-Type": kind})

    assert answer.status_code == 400
    assert answer.json()["success"] is False


async def test_the_same_key_and_form_is_one_image(api: httpx2.AsyncClient) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first = await upload(api, picture(), key, alias="@once")
    again = await upload(api, picture(), key, alias="@once")
    other = await upload(api, picture(size=(8, 8)), key, alias="@once")

    assert first == again
    assert first[0] == 201
    assert other[0] == 422


@pytest.fixture
async def mongo(stack: Settings) -> AsyncIterator[Mongo]:
    async with library_database(stack) as mongo:
        yield mongo


@pytest.fixture
async def store(stack: Settings) -> AsyncIterator[S3ObjectStore]:
    async with S3ObjectStore.open(stack.s3) as store:
        await store.ensure_bucket()
        yield store


@pytest.fixture
def uploads(mongo: Mongo, store: S3ObjectStore) -> Uploads:
    return Uploads(mongo, Feed(mongo), store)


async def add(uploads: Uploads, image: UUID | None = None, **to: Any) -> Stored:
    found = await uploads.decoded(picture())
    return await uploads.add("demo", image or uuid4(), found, Belongings(**to))


async def age(mongo: Mongo) -> None:
    """As if the hour had passed for whatever is noted."""
    old = now() - STALE_AFTER - timedelta(seconds=1)
    await mongo.uploads.update_many({}, {"$set": {"noted_at": old}})


async def test_a_picture_whose_caller_has_left_keeps_its_place_until_it_is_decoded(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = Semaphore(0), Event()

    def slowly(content: bytes) -> DecodedUpload:
        begun.release()
        go_on.wait(60)
        return decode(content)

    monkeypatch.setattr("services.library.uploads.decode", slowly)
    left = [asyncio.create_task(uploads.decoded(picture())) for _ in range(DECODED_AT_ONCE)]
    for _ in left:
        assert await asyncio.to_thread(begun.acquire, timeout=60)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)

    stays = asyncio.create_task(uploads.decoded(picture()))
    assert not await asyncio.to_thread(begun.acquire, timeout=0.2)
    go_on.set()
    assert (await stays).width == 40


async def test_one_transaction_makes_the_row_its_names_and_its_events(
    uploads: Uploads, mongo: Mongo
) -> None:
    image = await add(uploads, alias="@hero", meta={"a": 1})
    events = [
        json.loads(row["event"]) async for row in mongo.library_outbox.find().sort("sequence")
    ]

    assert Stored.model_validate(await mongo.images.find_one({"_id": image.id})) == image
    assert await mongo.uploads.count_documents({}) == 0
    assert [event["type"].split(".")[-3:-1] for event in events] == [
        ["image", "uploaded"],
        ["alias", "assigned"],
    ]
    assert events[0]["data"]["picture"]["sha256"] == image.picture.sha256
    assert "meta" not in events[0]["data"]


async def test_an_upload_that_was_tried_before_is_found(uploads: Uploads, mongo: Mongo) -> None:
    image = await add(uploads, alias="@hero")
    again = await add(uploads, image.id, alias="@hero")

    assert again == image
    assert await mongo.images.count_documents({}) == 1


async def test_a_crash_before_the_row_leaves_what_the_sweep_deletes(
    uploads: Uploads, mongo: Mongo, store: S3ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object) -> None:
        raise asyncio.CancelledError

    kept = await add(uploads)
    monkeypatch.setattr(uploads, "_insert", dies)
    with pytest.raises(asyncio.CancelledError):
        await add(uploads)
    (note,) = await mongo.uploads.find().to_list(None)
    await uploads.sweep()
    assert await store.get(note["_id"])

    await age(mongo)
    await uploads.sweep()

    with pytest.raises(NotFound):
        await store.get(note["_id"])
    assert await store.get(kept.picture.relative_path)
    assert await mongo.uploads.count_documents({}) == 0


async def test_what_the_sweep_gave_up_becomes_no_row(
    uploads: Uploads, mongo: Mongo, store: S3ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that slept for an hour between the object and the row."""
    insert = uploads._insert

    async def late(image: Stored, to: Belongings) -> Stored:
        await age(mongo)
        await uploads.sweep()
        return await insert(image, to)

    monkeypatch.setattr(uploads, "_insert", late)
    with pytest.raises(Unavailable):
        await add(uploads)

    assert await mongo.images.count_documents({}) == 0


async def test_what_is_refused_leaves_neither_object_nor_note(
    uploads: Uploads, mongo: Mongo, store: S3ObjectStore
) -> None:
    await add(uploads, alias="@hero")
    image = uuid4()

    with pytest.raises(AliasTaken):
        await add(uploads, image, alias="@hero")

    assert await mongo.uploads.count_documents({}) == 0
    with pytest.raises(NotFound):
        await store.get(f"uploads/{image}.png")


async def test_fifty_uploads_for_one_name_have_one_winner(uploads: Uploads, mongo: Mongo) -> None:
    ends = await asyncio.gather(
        *(add(uploads, alias="@hero") for _ in range(50)), return_exceptions=True
    )

    assert sum(isinstance(end, Stored) for end in ends) == 1
    assert sum(isinstance(end, AliasTaken) for end in ends) == 49
    assert await mongo.images.count_documents({}) == 1
