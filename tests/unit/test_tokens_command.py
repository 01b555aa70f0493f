"""`darkroom tokens`: what it prints is what the API takes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from compose.commands import tokens
from compose.errors import CommandFailed, UsageFailed
from services.settings import Settings
from services.signing import Signer
from services.tokens import Tokens

MASTER = "a master secret of tests"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    monkeypatch.setenv("DARKROOM_MASTER_SECRET", MASTER)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(tokens.app, list(arguments))


async def test_a_token_is_one_of_the_user_in_the_project() -> None:
    printed = run("create", "--user", "ada", "--project", "demo", "--expires", "90", "--json")
    token = json.loads(printed.stdout)["token"]

    caller = await Tokens(Settings(), Signer(MASTER)).user(token)

    assert (caller.owner, caller.project) == ("ada", "demo")
    assert run("create", "--user", "ada").stdout.strip().count(".") == 2


def test_the_service_s_token_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    derived = json.loads(run("service", "--json").stdout)["token"]

    assert run("service").stdout.strip() == derived
    monkeypatch.setenv("IMAGE_GEN_TOKEN", "told to both")
    assert run("service").stdout.strip() == "told to both"


@pytest.mark.parametrize(
    "options",
    [
        ("--user", ""),
        ("--user", "ada", "--project", "../other"),
        ("--user", "ada", "--expires", "soon"),
        ("--user", "ada", "--expires", "0"),
    ],
)
def test_what_makes_no_token_is_a_usage_error(options: tuple[str, ...]) -> None:
    assert isinstance(run("create", *options).exception, UsageFailed)


def test_a_home_without_secrets_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARKROOM_MASTER_SECRET")

    failed = run("service").exception

    assert isinstance(failed, CommandFailed)
    assert failed.hint == "run `./darkroom up`"
