"""Who comes with a token: as whom, to what, and in which words they are sent away."""

import base64
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.testclient import TestClient

from services.settings import JwtSettings, Settings
from services.tokens import Tokens
from tests.unit.api_fakes import KEY, SIGNER, Parts

SUBMIT = "/api/v1/images/generate-async"
HERO = "/api/image-gen/recipes/17/hero"
BODY = {"prompt": "a red circle"}
REFUSAL = "The token is missing, expired or not valid."
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


def secretly(key: OctKey, **claims: Any) -> str:
    return jwt.encode({"alg": "HS256"}, whole(**claims), key)


def publicly(key: RSAKey, kid: str) -> str:
    return jwt.encode({"alg": "RS256", "kid": kid}, whole(), key, algorithms=["RS256"])


def by_hand(header: dict[str, str], secret: bytes | None) -> str:
    """What no library would sign."""
    start = f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(whole()).encode())}"
    mac = b"" if secret is None else hmac.digest(secret, start.encode(), "sha256")
    return f"{start}.{base64url(mac)}"


def whole(**claims: Any) -> dict[str, Any]:
    return {"sub": "ada", "aud": "darkroom", "exp": time() + 3600, **claims}


def base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


SECRET = OctKey.import_key(SIGNER.mac("jwt", "HS256"))
RSA = RSAKey.generate_key(2048, {"kid": "ours"})
ATTACKS = {
    "alg none": by_hand({"alg": "none"}, None),
    "wrong key": secretly(OctKey.import_key("another secret of 32 characters")),
    "wrong audience": secretly(SECRET, aud="shop"),
    "no audience": secretly(SECRET, aud=[]),
    "expired": secretly(SECRET, exp=time() - 61),
    "not yet valid": secretly(SECRET, nbf=time() + 3600),
    "public key as secret": by_hand({"alg": "HS256", "kid": "ours"}, RSA.as_pem(private=False)),
    "unknown kid": publicly(RSA, "theirs"),
    "another's key under our kid": publicly(RSAKey.generate_key(2048), "ours"),
    "none at all": "",
}


@pytest.fixture
def strict(parts: Parts, client: TestClient, tmp_path: Path) -> TestClient:
    """With a secret, published keys and an audience."""
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [RSA.as_dict(private=False)]}))
    settings = {"algorithms": ["HS256", "RS256"], "jwks": str(file), "audience": "darkroom"}
    tokens = Tokens(Settings(jwt=JwtSettings.model_validate(settings)), SIGNER)
    vars(parts.tokens).update(vars(tokens))  # the state holds the one that it was opened with
    return client


@pytest.mark.parametrize("token", [secretly(SECRET), publicly(RSA, "ours")])
@pytest.mark.parametrize(("path", "body"), [(SUBMIT, BODY), (HERO, {"title": "Frittata"})])
def test_what_is_attacked_lets_its_own_users_in(
    strict: TestClient, token: str, path: str, body: dict[str, str]
) -> None:
    assert strict.post(path, json=body, headers=bearer(token)).is_success


@pytest.mark.parametrize("token", ATTACKS.values(), ids=ATTACKS.keys())
def test_recipes_refuse_bad_tokens_in_their_shape(strict: TestClient, token: str) -> None:
    refused = strict.post(HERO, json={"title": "Frittata"}, headers=bearer(token))

    assert (refused.status_code, refused.json()) == (401, {"error": REFUSAL})
    assert refused.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("name", sorted(set(ATTACKS) - {"none at all"}))
def test_blog_refuses_bad_tokens_in_its_shape(strict: TestClient, name: str) -> None:
    refused = strict.post(SUBMIT, json=BODY, headers=bearer(ATTACKS[name]))

    assert (refused.status_code, refused.json()) == (401, {"detail": REFUSAL})
    assert refused.headers["www-authenticate"] == "Bearer"


def test_keys_that_were_never_reached_are_503_in_the_dialect_s_shape(
    strict: TestClient, tmp_path: Path
) -> None:
    (tmp_path / "jwks.json").unlink()

    away = strict.post(HERO, json={"title": "Frittata"}, headers=bearer(publicly(RSA, "ours")))

    assert (away.status_code, list(away.json())) == (503, ["error"])
    assert int(away.headers["retry-after"]) >= 1
    known = strict.post(HERO, json={"title": "Frittata"}, headers=bearer(secretly(SECRET)))
    assert known.status_code == 200
