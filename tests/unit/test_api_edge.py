"""Refusals: their shapes, their limits, and what nobody foresaw."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from pymongo.errors import ServerSelectionTimeoutError
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from api.edge import Edge
from schemas.common import Value
from tests.unit.api_fakes import KEY, Parts

SUBMIT = "/api/v1/images/generate-async"
BODY = {"prompt": "a red circle"}
HEADERS = {"x-api-key": KEY}


@pytest.fixture
def parts() -> Parts:
    return Parts(unavailable_after=0.2, body_limit=1000, cors_origins=["https://blog.example"])


@pytest.fixture
def client(parts: Parts) -> Iterator[TestClient]:
    with parts.client() as client:
        yield client


def test_an_unknown_route_is_a_problem_document(client: TestClient) -> None:
    response = client.get("/nowhere")

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "Not Found",
        "code": "not_found",
    }


def test_a_wrong_method_is_405_in_the_dialect_s_shape_and_names_the_right_one(
    client: TestClient,
) -> None:
    response = client.get(SUBMIT)

    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert set(response.json()) == {"detail"}


def test_a_405_names_the_methods_of_every_route_with_that_path(client: TestClient) -> None:
    response = client.put(f"/api/v1/images/jobs/{uuid4()}", json={})

    assert response.status_code == 405
    assert response.headers["allow"] == "DELETE, GET, HEAD"


def test_options_without_an_origin_is_405_as_any_other_method(client: TestClient) -> None:
    response = client.options(SUBMIT)

    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert set(response.json()) == {"detail"}


def test_head_answers_as_get_does(client: TestClient) -> None:
    url = f"/api/v1/images/jobs/{uuid4()}"

    head, get = client.head(url, headers=HEADERS), client.get(url, headers=HEADERS)

    assert (head.status_code, get.status_code) == (404, 404)
    assert head.headers["content-type"] == get.headers["content-type"]


def test_a_trailing_slash_is_another_path(client: TestClient) -> None:
    assert client.post(f"{SUBMIT}/", json=BODY, headers=HEADERS).status_code == 404


def test_a_body_over_the_limit_is_413_in_shape_whatever_it_declares(client: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * 100

    declared = client.post(SUBMIT, content=b"x" * 1001, headers=HEADERS)
    streamed = client.post(SUBMIT, content=chunks(), headers=HEADERS)

    assert (declared.status_code, streamed.status_code) == (413, 413)
    assert set(streamed.json()) == {"detail"}


def test_mongodb_away_is_503_with_retry_after(parts: Parts, client: TestClient) -> None:
    parts.keys.outage = ServerSelectionTimeoutError("no server: secret-host:27017")

    response = client.post(SUBMIT, json=BODY, headers=HEADERS)

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert set(response.json()) == {"detail"}
    assert "secret-host" not in response.text


def test_a_part_that_hangs_is_503_when_the_deadline_passes(
    parts: Parts, client: TestClient
) -> None:
    async def hang(_key: str | None) -> object:
        return await asyncio.Event().wait()

    parts.keys.authenticate = hang  # type: ignore[method-assign, assignment]

    response = client.post(SUBMIT, json=BODY, headers=HEADERS)

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"


def test_what_nobody_foresaw_is_503_without_a_trace(parts: Parts, client: TestClient) -> None:
    parts.keys.outage = RuntimeError("the secret of the universe")

    response = client.post(SUBMIT, json=BODY, headers=HEADERS)

    assert response.status_code == 503
    assert "secret" not in response.text


def test_a_document_that_does_not_validate_is_our_mistake_not_the_caller_s(
    parts: Parts, client: TestClient
) -> None:
    class Strict(Value):
        number: int

    try:
        Strict.model_validate({"number": "internal"})
    except ValueError as error:
        parts.keys.outage = error

    response = client.post(SUBMIT, json=BODY, headers=HEADERS)

    assert response.status_code == 503
    assert "number" not in response.text


def test_an_allowed_origin_may_read_answers_and_refusals(parts: Parts, client: TestClient) -> None:
    origin = {"origin": "https://blog.example"}
    parts.keys.outage = RuntimeError("unforeseen")

    refusal = client.post(SUBMIT, json=BODY, headers=HEADERS | origin)
    preflight = client.options(
        SUBMIT,
        headers=origin
        | {
            "access-control-request-method": "POST",
            "access-control-request-headers": "x-api-key, content-type, idempotency-key",
        },
    )

    assert refusal.headers["access-control-allow-origin"] == "https://blog.example"
    assert preflight.status_code == 200
    assert "x-api-key" in preflight.headers["access-control-allow-headers"]


def test_a_script_may_read_every_field_that_it_needs(client: TestClient) -> None:
    response = client.get("/healthz", headers={"origin": "https://blog.example"})

    exposed = set(response.headers["access-control-expose-headers"].split(", "))
    assert exposed >= {"Location", "Retry-After", "RateLimit", "Idempotent-Replayed", "ETag"}


def test_where_every_origin_is_allowed_none_is_sent_credentials() -> None:
    with Parts(cors_origins=["*"]).client() as client:
        response = client.get("/healthz", headers={"origin": "https://any.example"})

    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers


def test_another_origin_is_not_allowed(client: TestClient) -> None:
    response = client.get("/healthz", headers={"origin": "https://evil.example"})

    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/v1/generations/none", "Generation not found"),
        ("/api/v1/flows/none/images", "Flow not found"),
        ("/api/v1/images/none", "Image not found"),
        ("/api/v1/live/none", "Not Found"),
        ("/api/v1/keys/none/none", "Not Found"),
    ],
)
def test_what_is_no_id_is_studio_s_404(client: TestClient, path: str, message: str) -> None:
    response = client.get(path, headers=HEADERS)

    assert response.status_code == 404
    error = {"code": "not_found", "message": message}
    assert response.json() == {"success": False, "error": error}


def test_a_path_that_only_begins_as_studio_s_is_nobody_s(client: TestClient) -> None:
    response = client.get("/api/v1/flowsheets", headers=HEADERS)

    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["evil.example/x?", "a b", "<script>", "user@host"])
def test_a_host_header_that_is_none_never_gets_into_a_url(client: TestClient, host: str) -> None:
    location = client.post(SUBMIT, json=BODY, headers=HEADERS).headers["location"]

    response = client.get(location, headers=HEADERS | {"host": host})

    assert response.status_code == 422


@pytest.mark.parametrize("key", ["x" * 256, ""])
def test_an_idempotency_key_that_can_t_be_kept_is_refused(client: TestClient, key: str) -> None:
    response = client.post(SUBMIT, json=BODY, headers=HEADERS | {"idempotency-key": key})

    assert response.status_code == 422
    assert "Idempotency-Key" in response.json()["detail"]


def test_a_traceparent_is_kept_and_a_malformed_one_is_not(parts: Parts, client: TestClient) -> None:
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    client.post(SUBMIT, json=BODY, headers=HEADERS | {"traceparent": good})
    client.post(SUBMIT, json=BODY, headers=HEADERS | {"traceparent": "nonsense"})

    assert [wish.traceparent for wish in parts.jobs.wishes] == [good, None]


async def test_an_answer_that_begins_as_its_time_ends_is_cut_off_and_breaks_nothing() -> None:
    async def just_too_late(_scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            raise

    async def keep(message: Message) -> None:
        sent.append(message)

    sent: list[Message] = []
    scope = {"type": "http", "state": {}, "path": "/"}

    with pytest.raises(TimeoutError):
        await Edge(just_too_late, timedelta(milliseconds=10))(scope, unheard, keep)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


async def unheard() -> Message:
    raise AssertionError("nobody listens")
