"""Who comes with a token: as whom, to what, and in which words they are sent away."""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from time import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from starlette.testclient import TestClient

from tests.unit.api_fakes import KEY, SIGNER, Parts

SUBMIT = "/api/v1/images/generate-async"
BODY = {"prompt": "a red circle"}
SOON = timedelta(minutes=1)


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def client(parts: Parts) -> Iterator[TestClient]:
    with parts.client() as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def of(parts: Parts, user: str, project: str = "demo") -> dict[str, str]:
    return bearer(parts.tokens.issue(user, project, SOON))


def test_blog_takes_a_token_and_shows_a_job_to_its_own_user_alone(
    parts: Parts, client: TestClient
) -> None:
    submitted = client.post(SUBMIT, json=BODY, headers=of(parts, "ada"))
    poll = submitted.headers["location"]

    assert submitted.status_code == 202
    assert parts.jobs.wishes[0].owner == "ada"
    assert client.get(poll, headers=of(parts, "ada")).status_code == 200
    for other in (of(parts, "eve"), of(parts, "ada", "other")):
        refused = client.get(poll, headers=other)
        assert (refused.status_code, refused.json()) == (404, {"detail": "Job not found"})
    assert client.get(poll, headers={"x-api-key": KEY}).status_code == 200


def test_a_key_still_speaks_where_there_is_a_token_too(parts: Parts, client: TestClient) -> None:
    both = of(parts, "ada") | {"x-api-key": "dk_nothing"}

    assert client.post(SUBMIT, json=BODY, headers=both).status_code == 401
    assert client.post(SUBMIT, json=BODY, headers=bearer(KEY)).status_code == 202


def test_a_token_reaches_no_dialect_of_keys(parts: Parts, client: TestClient) -> None:
    assert client.get("/api/v1/generations", headers=of(parts, "ada")).status_code == 401


@pytest.mark.parametrize(
    "changed",
    [
        {"alg": "none"},
        {"key": "another secret of 32 characters"},
        {"exp": time() - 120},
        {"nbf": time() + 120},
    ],
)
def test_blog_refuses_bad_tokens_in_its_shape(client: TestClient, changed: dict[str, Any]) -> None:
    refused = client.post(SUBMIT, json=BODY, headers=bearer(made(**changed)))

    assert refused.status_code == 401
    assert refused.json() == {"detail": "The token is missing, expired or not valid."}
    assert refused.headers["www-authenticate"] == "Bearer"


def made(alg: str = "HS256", key: str | None = None, **claims: object) -> str:
    """As `darkroom tokens create` would make it, but for what is given."""
    secret = OctKey.import_key(key or SIGNER.mac("jwt", "HS256"))
    text = jwt.encode({"alg": "HS256"}, {"sub": "ada", "exp": time() + 300, **claims}, secret)
    if alg == "HS256":
        return text
    header = base64.urlsafe_b64encode(json.dumps({"alg": alg}).encode()).decode().rstrip("=")
    return f"{header}.{text.split('.')[1]}."
