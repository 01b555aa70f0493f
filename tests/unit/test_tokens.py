"""Tokens as issuers and attackers make them -> a user, 401, or 503 while nobody can tell."""

import base64
import hmac
import json
from datetime import timedelta
from pathlib import Path
from time import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeySet, OctKey, RSAKey

from services import jwks
from services.errors import InvalidRequest, InvalidToken, Unavailable
from services.settings import JwtSettings, Settings
from services.signing import Signer
from services.tokens import OnBehalfOf, Tokens

SECRET = "a secret of 32 characters or more"
SIGNER = Signer("a master secret of tests")
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
OTHER_RSA = RSAKey.generate_key(2048, {"kid": "other"})
#: Names the published key, and is another.
BORROWER = RSAKey.import_key(OTHER_RSA.as_dict(private=True) | {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
EC_384 = ECKey.generate_key("P-384", {"kid": "ec-384"})


def tokens(**given: Any) -> Tokens:
    settings = JwtSettings.model_validate({"secret": SECRET, **given})
    return Tokens(Settings(jwt=settings), SIGNER)


def published(folder: Path, *keys: Key) -> str:
    """A file with the public half of `keys`."""
    file = folder / "jwks.json"
    file.write_text(json.dumps(KeySet(list(keys)).as_dict()))
    return str(file)


def public(folder: Path, *keys: Key, **given: Any) -> Tokens:
    return tokens(algorithms=["RS256", "ES256"], jwks=published(folder, *keys), **given)


def claims(**given: Any) -> dict[str, Any]:
    whole = {"sub": "ada", "exp": int(time()) + 300, **given}
    return {name: value for name, value in whole.items() if value is not None}


def signed(key: Key | None = None, algorithm: str = "HS256", **given: Any) -> str:
    header = {"alg": algorithm, **({"kid": key.kid} if key and key.kid else {})}
    key = key or OctKey.import_key(SECRET)
    return jwt.encode(header, claims(**given), key, algorithms=[algorithm])


def unsigned(header: dict[str, Any], signature: str = "") -> str:
    parts = (json.dumps(each).encode() for each in (header, claims()))
    head, body = (base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
    return f"{head}.{body}.{signature}"


async def test_a_token_names_its_user_and_its_project() -> None:
    caller = await tokens().user(signed(project="demo"))

    assert (caller.owner, caller.project, caller.limit) == ("ada", "demo", None)


async def test_a_token_without_a_project_is_of_the_default_one() -> None:
    assert (await tokens().user(signed())).project == Settings().project


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "a.b.c",
        "é.ü.ö",
        unsigned({"alg": "none"}),
        unsigned({"alg": "none"}, "x"),
        unsigned({"alg": "None"}),
        unsigned({"alg": ["HS256"]}),
        unsigned({"alg": "HS256", "kid": 7}),
        unsigned({"alg": "HS256"}),
        unsigned({}),
        signed(OctKey.import_key("another secret of 32 characters")),
        signed(exp=None),
        signed(exp=int(time()) - 61),
        signed(exp="tomorrow"),
        signed(nbf=int(time()) + 3600),  # also long after its collection
        signed(sub=None),
        signed(sub=""),
        signed(sub=17),
        signed(sub="two\nlines"),
        signed(sub="x" * 256),
        signed(project="../other"),
        signed(project=""),
        signed(algorithm="HS384"),
        signed(RSA, "RS256"),
        signed()[:-4] + "AAAA",
    ],
)
async def test_what_is_no_valid_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        await tokens().user(text)


async def test_clocks_may_differ_by_the_leeway() -> None:
    late = signed(exp=int(time()) - 5, nbf=int(time()) + 5)

    assert (await tokens().user(late)).owner == "ada"
    with pytest.raises(InvalidToken):
        await tokens(leeway=0).user(late)


async def test_issuer_and_audience_are_checked_where_they_are_configured() -> None:
    strict = tokens(issuer="https://login.example", audience="darkroom")

    good = signed(iss="https://login.example", aud=["shop", "darkroom"])
    assert (await strict.user(good)).owner == "ada"
    refused: list[dict[str, Any]] = [
        {"iss": "https://login.example"},
        {"aud": "darkroom"},
        {"iss": "https://login.example", "aud": "shop"},
        {"iss": "https://evil.example", "aud": "darkroom"},
    ]
    for wrong in refused:
        with pytest.raises(InvalidToken):
            await strict.user(signed(**wrong))


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256")])
async def test_a_published_key_checks_its_algorithm(
    tmp_path: Path, key: Key, algorithm: str
) -> None:
    caller = await public(tmp_path, RSA, EC).user(signed(key, algorithm))

    assert caller.owner == "ada"


async def test_a_public_key_is_never_taken_for_a_secret(tmp_path: Path) -> None:
    """Key confusion: signed with what everybody knows, named as the algorithm of a secret."""
    file = published(tmp_path, RSA)
    both = tokens(algorithms=["HS256", "RS256"], jwks=file)
    only = tokens(algorithms=["RS256"], jwks=file)
    for form in (RSA.as_pem(private=False), RSA.as_der(private=False)):
        forged = _forged(form)
        for checking in (both, only):
            with pytest.raises(InvalidToken):
                await checking.user(forged)


async def test_a_secret_among_published_keys_is_none(tmp_path: Path) -> None:
    shared = OctKey.import_key(SECRET + "!", {"kid": "shared"})
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [shared.as_dict(), RSA.as_dict(private=False)]}))

    with pytest.raises(InvalidToken):
        await tokens(algorithms=["HS256", "RS256"], jwks=str(file)).user(signed(shared))


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(OTHER_RSA, "RS256"), (BORROWER, "RS256")],
)
async def test_an_unknown_kid_and_a_borrowed_one_are_refused(
    tmp_path: Path, key: Key, algorithm: str
) -> None:
    with pytest.raises(InvalidToken):
        await public(tmp_path, RSA, EC).user(signed(key, algorithm))


async def test_a_key_of_another_kind_or_use_checks_nothing(tmp_path: Path) -> None:
    encrypting = RSAKey.import_key(RSA.as_dict(), {"use": "enc", "kid": "rsa"})
    for keys in ((EC_384,), (encrypting,), (EC,)):
        with pytest.raises(InvalidToken):
            await public(tmp_path, *keys).user(signed(RSA, "RS256"))


async def test_a_key_that_was_published_since_is_found_but_not_looked_for_at_every_request(
    tmp_path: Path,
) -> None:
    checking = public(tmp_path, RSA, refresh=0)
    patient = public(tmp_path, RSA, refresh=60)
    for each in (checking, patient):
        await each.user(signed(RSA, "RS256"))

    published(tmp_path, RSA, OTHER_RSA)

    assert (await checking.user(signed(OTHER_RSA, "RS256"))).owner == "ada"
    with pytest.raises(InvalidToken):
        await patient.user(signed(OTHER_RSA, "RS256"))


async def test_nobody_is_refused_for_keys_that_were_never_reached(tmp_path: Path) -> None:
    away = tokens(algorithms=["RS256"], jwks=str(tmp_path / "nothing.json"))

    with pytest.raises(Unavailable):
        await away.user(signed(RSA, "RS256"))


async def test_known_keys_outlive_an_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "LONGEST_KEPT", 0.0)
    checking = public(tmp_path, RSA, refresh=0)
    await checking.user(signed(RSA, "RS256"))

    (tmp_path / "jwks.json").write_text("not JSON")

    assert (await checking.user(signed(RSA, "RS256"))).owner == "ada"


async def test_a_key_that_can_t_be_read_spoils_no_other(tmp_path: Path) -> None:
    broken = {"kty": "RSA", "kid": "broken", "n": "?", "e": "AQAB"}
    unknown = {"kty": "ML", "kid": "new"}
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [broken, unknown, RSA.as_dict(private=False)]}))

    checking = tokens(algorithms=["RS256"], jwks=str(file))

    assert (await checking.user(signed(RSA, "RS256"))).owner == "ada"


async def test_what_is_issued_is_accepted_until_it_ends() -> None:
    issuing = tokens(issuer="us", audience="darkroom")

    caller = await issuing.user(issuing.issue("ada", "demo", timedelta(minutes=1)))

    assert (caller.owner, caller.project) == ("ada", "demo")


def test_nothing_is_issued_where_others_sign_or_for_nobody(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="elsewhere"):
        public(tmp_path, RSA).issue("ada", None, timedelta(minutes=1))
    with pytest.raises(InvalidRequest, match="user"):
        tokens().issue("", None, timedelta(minutes=1))


async def test_without_settings_the_secrets_are_the_deployment_s_own() -> None:
    ours, theirs = (Tokens(Settings(), Signer(f"master secret {n} of tests")) for n in (1, 2))
    token = ours.issue("ada", None, timedelta(minutes=1))

    assert (await ours.user(token)).owner == "ada"
    assert ours.service != theirs.service
    with pytest.raises(InvalidToken):
        await theirs.user(token)


def test_the_service_s_token_is_the_setting_s() -> None:
    configured = Tokens(Settings.model_validate({"image_gen_token": "told to both"}), SIGNER)

    assert configured.service == "told to both"
    assert configured.is_service("told to both")
    assert not configured.is_service("told to nobody")
    assert not configured.is_service("")


def test_the_service_asks_for_a_user_or_for_all() -> None:
    caller = tokens().serves(OnBehalfOf(owner="ada", project="demo"))

    assert (caller.owner, caller.project) == ("ada", "demo")
    assert tokens().serves(OnBehalfOf()).owner is None


@pytest.mark.parametrize(
    "given",
    [
        {"algorithms": ["none"]},
        {"algorithms": []},
        {"algorithms": ["RS256"]},
        {"jwks": "keys.json"},
        {"leeway": 61},
        {"leeway": -1},
        {"secret": "short"},
    ],
)
def test_settings_that_would_let_anyone_in_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="JwtSettings"):
        JwtSettings.model_validate(given)


@given(st.text(alphabet=st.characters(codec="ascii", categories=("L", "N", "P")), max_size=200))
async def test_whatever_is_sent_is_a_user_or_none(text: str) -> None:
    with pytest.raises(InvalidToken):
        await tokens().user(f"{text}.{text}.{text}")


def _forged(form: bytes) -> str:
    """By hand: no library signs with a public key."""
    start = unsigned({"alg": "HS256", "kid": "rsa"}).rpartition(".")[0]
    mac = hmac.digest(form, start.encode(), "sha256")
    return f"{start}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
