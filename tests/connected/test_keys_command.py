"""`darkroom keys` against a real MongoDB."""

import json
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from compose.commands import keys
from compose.errors import UsageFailed
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


@pytest.mark.parametrize(
    "options",
    [("--limit", "5"), ("--scopes", "write"), ("--expires", "soon"), ("--expires", "0s")],
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
    assert keys.duration(text) == timedelta(seconds=seconds)
