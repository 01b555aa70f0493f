"""Pictures over HTTP: whole, in part, unchanged, absent, purged."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from tests.unit.api_fakes import PICTURE, Parts

URL = f"/static/uploads/{PICTURE}"
CONTENT = bytes(range(256)) * 1000
ETAG = '"' + "5e" * 32 + '"'


@pytest.fixture
def parts() -> Parts:
    parts = Parts()
    parts.store.objects[PICTURE] = CONTENT
    return parts


@pytest.fixture
def client(parts: Parts) -> Iterator[TestClient]:
    with parts.client() as client:
        yield client


def test_a_picture_is_served_without_a_key_and_for_ever(client: TestClient) -> None:
    response = client.get(URL)

    assert response.status_code == 200
    assert response.content == CONTENT
    assert response.headers["etag"] == ETAG
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["content-type"] == "image/png"
    assert response.headers["content-length"] == str(len(CONTENT))
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["accept-ranges"] == "bytes"


def test_head_tells_the_same_and_sends_nothing(client: TestClient) -> None:
    head = client.head(URL)

    assert head.status_code == 200
    assert head.content == b""
    assert dict(head.headers) == dict(client.get(URL).headers)


@pytest.mark.parametrize(
    ("wanted", "part", "shown"),
    [
        ("bytes=0-9", CONTENT[:10], "bytes 0-9/256000"),
        ("bytes=255990-", CONTENT[-10:], "bytes 255990-255999/256000"),
        ("bytes=-10", CONTENT[-10:], "bytes 255990-255999/256000"),
        ("bytes=255990-999999", CONTENT[-10:], "bytes 255990-255999/256000"),
    ],
)
def test_a_range_is_served_as_206(client: TestClient, wanted: str, part: bytes, shown: str) -> None:
    response = client.get(URL, headers={"range": wanted})

    assert response.status_code == 206
    assert response.content == part
    assert response.headers["content-range"] == shown
    assert response.headers["content-length"] == str(len(part))


def test_a_range_outside_is_416_with_the_size(client: TestClient) -> None:
    response = client.get(URL, headers={"range": "bytes=256000-"})

    assert response.status_code == 416
    assert response.headers["content-range"] == "bytes */256000"


@pytest.mark.parametrize("wanted", ["items=0-9", "bytes=0-1,5-6", "bytes=x", "bytes=9-2", ""])
def test_a_range_that_is_not_understood_is_ignored(client: TestClient, wanted: str) -> None:
    response = client.get(URL, headers={"range": wanted})

    assert (response.status_code, response.content) == (200, CONTENT)


@pytest.mark.parametrize("known", [ETAG, f"W/{ETAG}", f'"other", {ETAG}', "*"])
def test_a_picture_that_the_client_has_is_304(client: TestClient, known: str) -> None:
    response = client.get(URL, headers={"if-none-match": known})

    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["etag"] == ETAG


def test_another_etag_gets_the_picture(client: TestClient) -> None:
    assert client.get(URL, headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize(("tag", "status"), [(ETAG, 206), ('"other"', 200)])
def test_if_range_gives_a_part_of_the_same_picture_only(
    client: TestClient, tag: str, status: int
) -> None:
    response = client.get(URL, headers={"range": "bytes=0-9", "if-range": tag})

    assert response.status_code == status


@pytest.mark.parametrize(
    "path",
    [
        "generated/absent.png",
        "generated/../secret.png",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/secret.png",
        "generated//x.png",
        "generated/x.exe",
        "",
        "x",
    ],
)
def test_what_is_not_ours_is_a_404_problem(client: TestClient, path: str) -> None:
    response = client.get(f"/static/uploads/{path}")

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_a_purged_picture_is_gone(parts: Parts, client: TestClient) -> None:
    del parts.store.objects[PICTURE]
    parts.jobs.purged_images.add(UUID(PICTURE[10:46]))

    assert client.get(URL).status_code == 410


def test_pictures_are_read_only(client: TestClient) -> None:
    assert client.put(URL, content=b"x").status_code == 405
    assert client.delete(URL).status_code == 405
