"""`darkroom keys` against a real MongoDB."""

import json
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from compose.commands import keys
from compose.errors import CommandFailed, UsageFailed
from services.settings import Settings

pytestmark = pytest.mark.connected


@pytest.fixture
def project(stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    monkeypatch.setenv("DARKROOM_MONGO__URL", stack.mongo.url.get_secret_value())
    monkeypatch.setenv("DARKROOM_MASTER_SECRET", stack.master_secret.get_secret_value())
    return f"test-{uuid4()}"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(keys.app, list(arguments))


def test_create_prints_the_key_and_its_signing_secret_once(project: str) -> None:
    created = json.loads(run("create", "--project", project, "--json").stdout)
    listed = run("ls", "--project", project, "--json").stdout

    assert set(created) == {
        "id",
        "key",
        "signing_key_id",
        "signing_secret",
        "project",
        "limit",
    }
    assert (created["project"], created["limit"]) == (project, "100/hour")
    assert created["id"] in listed
    assert created["key"] not in listed
    assert created["signing_secret"] not in listed


def test_create_takes_limit_scopes_and_expiry(project: str) -> None:
    options = ("--limit", "none", "--scopes", "read,live", "--expires", "30d")

    created = json.loads(run("create", "--project", project, *options, "--json").stdout)
    row = json.loads(run("ls", "--project", project, "--json").stdout)

    assert created["limit"] is None
    assert row["scopes"] == ["read", "live"]
    assert row["expires_at"] > row["created_at"]
    assert row["prefix"] == f"dk_{created['id']}"


def test_revoke_says_when(project: str) -> None:
    created = json.loads(run("create", "--project", project, "--json").stdout)

    row = json.loads(run("revoke", created["id"], "--json").stdout)

    assert row["revoked_at"] is not None


def test_rotate_shows_a_key_like_the_old_one_which_stops_at_once_or_later(project: str) -> None:
    options = ("--scopes", "read", "--limit", "5/minute", "--expires", "30d")
    first = json.loads(run("create", "--project", project, *options, "--json").stdout)

    second = json.loads(run("rotate", first["id"], "--overlap", "1h", "--json").stdout)
    third = json.loads(run("rotate", second["id"], "--json").stdout)
    rows = {
        row["id"]: row
        for row in map(json.loads, run("ls", "--project", project, "--json").stdout.splitlines())
    }

    assert set(second) == set(first)
    assert len({first["key"], second["key"], third["key"]}) == 3
    assert {tuple(row["scopes"]) for row in rows.values()} == {("read",)}
    assert {row["limit"] for row in rows.values()} == {"5/minute"}
    revoked = {key_id: row["revoked_at"] is not None for key_id, row in rows.items()}
    assert revoked == {first["id"]: False, second["id"]: True, third["id"]: False}
    assert rows[first["id"]]["expires_at"] < rows[third["id"]]["expires_at"]


def test_a_key_that_has_ended_is_rotated_no_more(project: str) -> None:
    created = json.loads(run("create", "--project", project, "--json").stdout)
    run("revoke", created["id"])

    failed = run("rotate", created["id"])

    assert isinstance(failed.exception, CommandFailed)


@pytest.mark.parametrize(
    "options",
    [
        ("--limit", "5"),
        ("--scopes", "write"),
        ("--expires", "soon"),
        ("--expires", "0s"),
        ("--expires", "36501d"),
    ],
)
def test_options_that_make_no_sense_are_a_usage_error(
    project: str, options: tuple[str, str]
) -> None:
    failed = run("create", "--project", project, *options)

    assert isinstance(failed.exception, UsageFailed)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("1d", 86_400)]
)
def test_durations_are_read_with_their_unit(text: str, seconds: int) -> None:
    assert keys.duration(text, "--expires") == timedelta(seconds=seconds)
