"""What a key may do and how long, without a database."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from schemas.keys import Key
from services.accounts import Caller
from services.errors import Forbidden
from services.signing import Signer

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def _key(**fields: object) -> Key:
    return Key.model_validate({"_id": "a" * 12, "hash": "0" * 64, "project": "demo"} | fields)


def test_a_key_without_an_end_is_usable() -> None:
    assert _key().usable(NOW)


def test_a_key_stops_at_the_moment_of_its_expiry() -> None:
    key = _key(expires_at=NOW)

    assert key.usable(NOW - timedelta(milliseconds=1))
    assert not key.usable(NOW)


def test_a_revoked_key_is_not_usable() -> None:
    assert not _key(revoked_at=NOW).usable(NOW)


@pytest.mark.parametrize("limit", ["1/second", "100/hour", "5/minute", "1000000/day", None])
def test_a_limit_is_a_count_in_a_unit_of_time(limit: str | None) -> None:
    assert _key(limit=limit).limit == limit


@pytest.mark.parametrize("limit", ["0/hour", "100", "100/week", "-1/hour", "1/hour\n", ""])
def test_any_other_limit_is_refused(limit: str) -> None:
    with pytest.raises(ValidationError):
        _key(limit=limit)


def test_a_key_does_not_show_its_hash() -> None:
    assert "0" * 64 not in repr(_key())


def test_full_is_every_scope() -> None:
    Caller(project="demo").require("read")
    Caller(project="demo").require()


def test_a_scope_is_enough_where_it_is_asked_for_and_nowhere_else() -> None:
    reader = Caller(project="demo", scopes=("read",))

    reader.require("read")
    with pytest.raises(Forbidden):
        reader.require("live")
    with pytest.raises(Forbidden):
        reader.require()


def test_stored_digests_depend_on_the_master_secret() -> None:
    assert Signer("a" * 16).digest("key") != Signer("b" * 16).digest("key")
