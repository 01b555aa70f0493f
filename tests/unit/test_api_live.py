"""Live pictures over HTTP, with fakes behind the API."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY
from starlette.routing import Route
from starlette.testclient import TestClient

from api.app import ROUTES
from api.documents.described import OPERATIONS
from api.studio import live
from schemas.common import now
from schemas.jobs import Dialect, Status, Tier
from services.errors import NotMade
from tests.unit.api_fakes import (
    KEY,
    LIMITED_KEY,
    LIVE_KEY,
    OTHER_KEY,
    PICTURE,
    READ_KEY,
    Parts,
)

LIVE = "/api/v1/live"
URLS = f"{LIVE}/urls"
ASKED = {"prompt": "грузовик едет по горной дороге", "aspectRatio": "16:9"}
CONTENT = bytes(range(256)) * 1000
IMAGE = "7c0e0000-0000-4000-8000-000000000001"


@pytest.fixture
def parts() -> Parts:
    """Pictures are made as soon as somebody looks for them."""
    parts = Parts()
    parts.store.objects[PICTURE] = CONTENT
    parts.jobs.on_read = parts.jobs.end_all
    return parts


@pytest.fixture
def client(parts: Parts) -> Iterator[TestClient]:
    with parts.client() as client:
        client.headers["x-api-key"] = KEY
        yield client


@pytest.fixture
def anyone(parts: Parts) -> Iterator[TestClient]:
    """Without a key."""
    with parts.client() as anyone:
        yield anyone


def signed(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post(URLS, json=body)
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def relative(url: str) -> str:
    parsed = urlsplit(url)
    return f"{parsed.path}?{parsed.query}"


def test_a_miss_has_exactly_the_documented_headers(client: TestClient, parts: Parts) -> None:
    answer = client.get(LIVE, params=ASKED)

    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-cache-status"] == "MISS"
    assert answer.headers["x-image-id"] == IMAGE
    assert UUID(answer.headers["x-generation-id"]) in parts.jobs.stored
    assert "x-cache-hit-count" not in answer.headers
    assert answer.headers["cache-control"] == "public, max-age=31536000"


def test_a_hit_has_its_count_and_no_generation(client: TestClient) -> None:
    client.get(LIVE, params=ASKED)

    first, second = [client.get(LIVE, params=ASKED) for _ in range(2)]

    assert (second.status_code, second.content) == (200, CONTENT)
    assert second.headers["x-cache-status"] == "HIT"
    assert second.headers["x-image-id"] == IMAGE
    assert "x-generation-id" not in second.headers
    assert (first.headers["x-cache-hit-count"], second.headers["x-cache-hit-count"]) == ("1", "2")
    assert second.headers["cache-control"] == "public, max-age=31536000"


def test_what_a_key_gets_is_not_for_those_without(client: TestClient) -> None:
    assert "X-API-Key" in client.get(LIVE, params=ASKED).headers["vary"]


def test_the_generation_is_one_of_the_library(client: TestClient, parts: Parts) -> None:
    generation = client.get(LIVE, params=ASKED).headers["x-generation-id"]

    (wanted,) = parts.live.wanted
    assert parts.jobs.stored[UUID(generation)].dialect is Dialect.STUDIO
    assert wanted.project == "demo"
    assert (wanted.spec.prompt, wanted.aspect_ratio) == (ASKED["prompt"], "16:9")
    assert wanted.spec.width > wanted.spec.height
    assert wanted.spec.tier is Tier.STANDARD
    assert wanted.spec.seed is None
    assert not wanted.spec.embed_parameters


def test_model_seed_and_quality_may_be_asked_for(client: TestClient, parts: Parts) -> None:
    client.get(LIVE, params=ASKED | {"model": "default", "seed": "7", "quality": "draft"})

    (wanted,) = parts.live.wanted
    assert (wanted.spec.seed, wanted.spec.tier) == (7, Tier.DRAFT)


def test_a_part_of_it_and_nothing_new_cost_a_hit(client: TestClient) -> None:
    etag = client.get(LIVE, params=ASKED).headers["etag"]

    part = client.get(LIVE, params=ASKED, headers={"range": "bytes=0-9"})
    known = client.get(LIVE, params=ASKED, headers={"if-none-match": etag})
    head = client.head(LIVE, params=ASKED)

    assert (part.status_code, part.content) == (206, CONTENT[:10])
    assert (known.status_code, known.content) == (304, b"")
    assert (head.status_code, head.content) == (200, b"")
    assert [each.headers["x-cache-hit-count"] for each in (part, known, head)] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "Prompt is required"),
        ({"prompt": "  "}, "Prompt is required"),
        ({"prompt": "x", "aspectRatio": "1:5"}, "Invalid aspect ratio"),
        ({"prompt": "x", "aspectRatio": ""}, "Invalid aspect ratio"),
        ({"prompt": "x", "model": "nobody's"}, None),
        ({"prompt": "x", "seed": "-1"}, None),
        ({"prompt": "x", "seed": str(2**53)}, None),
        ({"prompt": "x", "quality": "best"}, None),
        ({"prompt": "x" * 4001}, None),
        ({"prompt": "\x00"}, None),
    ],
)
def test_bad_input_is_400(client: TestClient, asked: dict[str, str], message: str | None) -> None:
    answer = client.get(LIVE, params=asked)

    assert answer.status_code == 400
    assert answer.json()["success"] is False
    assert message in (None, answer.json()["error"]["message"])


def test_a_picture_that_takes_too_long_is_503_and_asking_again_joins(
    client: TestClient, parts: Parts
) -> None:
    parts.jobs.on_read = lambda: None
    late = client.get(LIVE, params=ASKED, headers={"prefer": "wait=1"})
    assert late.status_code == 503
    assert late.headers["cache-control"] == "no-store"
    assert int(late.headers["retry-after"]) >= 1
    assert late.json()["error"]["code"] == "not_ready"

    parts.jobs.on_read = parts.jobs.end_all
    joined = client.get(LIVE, params=ASKED)

    assert joined.headers["x-cache-status"] == "MISS"
    assert len(parts.jobs.stored) == 1
    assert parts.estimates.counted == list(parts.jobs.stored), "whoever joins begins nothing"


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED])
def test_a_picture_that_could_not_be_made_is_503(
    client: TestClient, parts: Parts, status: Status
) -> None:
    parts.jobs.on_read = lambda: parts.jobs.end_all(status)

    answer = client.get(LIVE, params=ASKED)

    assert answer.status_code == 503
    assert answer.headers["cache-control"] == "no-store"
    assert int(answer.headers["retry-after"]) == 10
    assert answer.json()["error"]["code"] == "generation_failed"
    assert "out of memory" in answer.json()["error"]["message"]


def test_a_new_try_too_soon_says_when(client: TestClient, parts: Parts) -> None:
    parts.live.refusal = NotMade(retry_after=37)

    answer = client.get(LIVE, params=ASKED)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "37")


def test_a_picture_that_is_gone_before_it_is_read_is_asked_for_again(
    client: TestClient, parts: Parts
) -> None:
    client.get(LIVE, params=ASKED)
    del parts.store.objects[PICTURE]

    answer = client.get(LIVE, params=ASKED)

    assert (answer.status_code, answer.headers["cache-control"]) == (503, "no-store")


@pytest.mark.parametrize(("key", "status"), [(KEY, 200), (LIVE_KEY, 200), (READ_KEY, 403)])
def test_a_key_needs_the_scope(client: TestClient, key: str, status: int) -> None:
    answer = client.get(LIVE, params=ASKED, headers={"x-api-key": key})

    assert answer.status_code == status


def test_without_a_key_it_is_401(anyone: TestClient) -> None:
    answer = anyone.get(LIVE, params=ASKED)

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthorized"


def test_every_request_with_a_key_counts_and_none_with_a_signed_url(
    client: TestClient, anyone: TestClient
) -> None:
    limited = {"x-api-key": LIMITED_KEY}
    asked = [client.get(LIVE, params=ASKED, headers=limited) for _ in range(3)]
    url = relative(signed(client, prompt="a cat")["url"])

    assert [each.status_code for each in asked] == [200, 200, 429]
    assert {anyone.get(url).status_code for _ in range(5)} == {200}


@pytest.mark.parametrize("key", [LIVE_KEY, READ_KEY])
@pytest.mark.parametrize(("method", "path"), [("POST", URLS), ("GET", URLS), ("DELETE", URLS)])
def test_urls_are_for_keys_with_every_right(
    client: TestClient, key: str, method: str, path: str
) -> None:
    if method == "DELETE":
        path = f"{path}/{uuid4()}"

    answer = client.request(method, path, headers={"x-api-key": key}, json={"prompt": "a cat"})

    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"


def test_a_signed_url_needs_no_key(client: TestClient, anyone: TestClient) -> None:
    made = signed(client, prompt="a cat", aspectRatio="16:9", expiresIn=60)

    answer = anyone.get(relative(made["url"]))

    assert set(made) == {"id", "url", "expiresAt"}
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert 50 <= int(answer.headers["cache-control"].removeprefix("public, max-age=")) < 60
    assert "vary" not in answer.headers


def test_its_picture_is_the_one_that_a_key_gets(client: TestClient, anyone: TestClient) -> None:
    client.get(LIVE, params={"prompt": "a cat"})

    answer = anyone.get(relative(signed(client, prompt="a cat")["url"]))

    assert answer.headers["x-cache-status"] == "HIT"


def test_a_key_beside_a_token_gives_no_more_rights(client: TestClient) -> None:
    url = relative(signed(client, params={"prompt": ["a cat"]})["url"])

    assert client.get(f"{url}&prompt=a%20dog").status_code == 403


def test_of_params_one_allowed_value_each_is_named(
    client: TestClient, anyone: TestClient, parts: Parts
) -> None:
    made = signed(
        client, params={"prompt": ["a cat", "a dog & a cat"], "seed": [1, 2]}, aspectRatio="16:9"
    )
    url = relative(made["url"])

    right = anyone.get(url + "&prompt=a%20dog%20%26%20a%20cat&seed=2")
    wrong = [
        anyone.get(url + more)
        for more in ("", "&prompt=a%20cat", "&prompt=a%20cow&seed=1", "&prompt=a%20cat&seed=1&x=1")
    ]

    assert right.status_code == 200
    assert (parts.live.wanted[0].spec.prompt, parts.live.wanted[0].spec.seed) == (
        "a dog & a cat",
        2,
    )
    assert {each.status_code for each in wrong} == {403}
    assert {each.json()["error"]["code"] for each in wrong} == {"live_url_refused"}


def test_a_tampered_token_is_403(client: TestClient, anyone: TestClient) -> None:
    url = relative(signed(client, prompt="a cat")["url"])
    start = url.index("token=") + len("token=")

    answers = [
        anyone.get(url[:place] + ("0" if url[place] != "0" else "1") + url[place + 1 :])
        for place in range(start, len(url))
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert {answer.json()["success"] for answer in answers} == {False}


def test_an_expired_url_is_403(client: TestClient, anyone: TestClient, parts: Parts) -> None:
    url = relative(signed(client, prompt="a cat", expiresIn=1)["url"])
    (known,) = parts.live_urls.urls.values()
    late = known.model_copy(update={"expires_at": now() - timedelta(seconds=1)})

    answer = anyone.get(f"{LIVE}?token={parts.live_urls.token(late)}")

    assert url != answer.url
    assert answer.status_code == 403
    assert answer.json()["error"]["message"] == "The live URL has expired"


def test_urls_are_listed_and_revoked(client: TestClient, anyone: TestClient) -> None:
    made = [signed(client, prompt=prompt) for prompt in ("a cat", "a dog")]

    revoked = client.delete(f"{URLS}/{made[0]['id']}").json()["data"]
    page = client.get(URLS).json()

    assert [each["id"] for each in page["data"]] == [made[1]["id"], made[0]["id"]]
    assert page["pagination"] == {"limit": 20, "offset": 0, "total": 2, "hasMore": False}
    assert page["data"][1] == revoked
    assert (revoked["fixed"], revoked["params"]) == ({"prompt": "a cat"}, {})
    assert revoked["url"] == made[0]["url"]
    assert revoked["revokedAt"]
    assert anyone.get(relative(made[0]["url"])).status_code == 403
    assert anyone.get(relative(made[1]["url"])).status_code == 200


def test_another_project_s_urls_are_not_there(client: TestClient) -> None:
    made = signed(client, prompt="a cat")
    other = {"x-api-key": OTHER_KEY}

    assert client.get(URLS, headers=other).json()["data"] == []
    assert client.delete(f"{URLS}/{made['id']}", headers=other).status_code == 404
    assert client.delete(f"{URLS}/{uuid4()}").json()["error"]["message"] == "Live URL not found"


@pytest.mark.parametrize(
    "body",
    [{}, {"prompt": ""}, {"prompt": "x", "expiresIn": 31536001}, {"prompt": "x", "maxImages": -1}],
)
def test_a_url_that_could_not_be_used_is_400(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post(URLS, json=body).status_code == 400


def test_the_same_idempotency_key_gets_the_same_url(client: TestClient) -> None:
    once = {"idempotency-key": "k"}

    first, second = [client.post(URLS, json={"prompt": "a"}, headers=once) for _ in range(2)]

    assert (second.status_code, second.content) == (201, first.content)
    assert second.headers["idempotent-replayed"] == "true"
    assert client.post(URLS, json={"prompt": "b"}, headers=once).status_code == 422


ELSEWHERE = [
    (method, route.path)
    for route in ROUTES
    if isinstance(route, Route) and (described := OPERATIONS.get(route.endpoint))
    if described.needs_key and route.endpoint is not live.LIVE
    for method in sorted((route.methods or set()) - {"HEAD"})
]


@pytest.mark.parametrize(("method", "path"), ELSEWHERE)
def test_a_key_for_live_pictures_may_do_nothing_else(
    client: TestClient, method: str, path: str
) -> None:
    somewhere = re.sub(r"{(\w+):uuid}", str(uuid4()), path)
    somewhere = re.sub(r"{\w+(:\w+)?}", "@name", somewhere)

    answer = client.request(method, somewhere, headers={"x-api-key": LIVE_KEY}, json={})

    assert answer.status_code == 403


def test_hits_and_misses_are_counted_for_prometheus(client: TestClient) -> None:
    def counted(cache: str) -> float:
        return REGISTRY.get_sample_value("darkroom_live_pictures_total", {"cache": cache}) or 0.0

    before = counted("hit"), counted("miss")
    for _ in range(3):
        client.get(LIVE, params=ASKED)

    assert (counted("hit") - before[0], counted("miss") - before[1]) == (2, 1)
