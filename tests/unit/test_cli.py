"""The command line in this process: what it says when something is wrong, and its exit codes."""

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from compose import cli
from compose.commands import test as test_command
from compose.commands.logs import logs
from compose.embedded import state
from compose.embedded.ports import HOST, draw
from compose.embedded.state import FirstKey, State
from compose.errors import CommandFailed

KEY = FirstKey(key="dk_x", signing_key_id="x", signing_secret="x", project="default")

Darkroom = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def kept_to_itself() -> Iterator[None]:
    """What the command line sets for a process that is its own."""
    yield
    structlog.reset_defaults()
    logging.getLogger("aiokafka").setLevel(logging.NOTSET)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def darkroom(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Darkroom:
    """Arguments in, the exit code and what stood on stderr out."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["darkroom", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


@pytest.fixture
def stopped(home: Path) -> None:
    """A home after `down`: it has a URL and a key, and nobody listens."""
    url = f"http://{HOST}:{draw(set())}"
    state.save(home, State(url=url, key=KEY))


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize("arguments", [("generate", "x", "-o", "x.png"), ("jobs", "ls")])
def test_after_down_it_says_at_once_that_nothing_runs(
    darkroom: Darkroom, home: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(home)
    began = time.monotonic()

    code, told = darkroom(*arguments)

    assert code == 1
    assert f"nothing runs in {home}" in told
    assert "run `./darkroom up`" in told
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("file", [".", "/proc/x.png", "/dev/null/x.png"])
def test_a_place_that_takes_no_picture_is_told_before_one_is_asked_for(
    darkroom: Darkroom, file: str
) -> None:
    code, told = darkroom("generate", "x", "-o", file)

    assert code == 2
    assert "is a folder" in told or "can't be written" in told


def test_what_others_wrote_is_never_taken_for_markup(darkroom: Darkroom) -> None:
    assert "no log of [/x]" in darkroom("logs", "[/x]")[1]
    assert "--size [red] is not WxH" in darkroom("generate", "x", "--size", "[red]")[1]
    assert "--size ²x² is not WxH" in darkroom("generate", "x", "--size", "²x²")[1]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DARKROOM_PORT", "abc"),
        ("DARKROOM_KAFKA__SECURITY_PROTOCOL", "none"),
        ("DARKROOM_API__CORS_ORIGINS", "https://a.example"),
    ],
)
def test_a_wrong_variable_is_named_without_pydantic_s_words(
    darkroom: Darkroom, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    code, told = darkroom("status")

    assert code == 2
    assert variable.partition("__")[0] in told
    assert "next" in told
    assert "pydantic" not in told
    assert "validation error" not in told


def test_a_wrong_option_is_named_once(darkroom: Darkroom) -> None:
    code, told = darkroom("generate", "x", "--size", "101x101", "-o", "/dev/null")

    assert code == 2
    assert told.count("--size: Input should be") == 1
    assert "pydantic" not in told


def test_a_home_that_is_no_folder_is_an_error_with_its_name(darkroom: Darkroom, home: Path) -> None:
    home.write_text("a file")

    code, told = darkroom("up")

    assert code == 1
    assert str(home) in told
    assert "DARKROOM_HOME" in told


def test_kafka_s_driver_keeps_quiet_since_the_command_says_it(
    darkroom: Darkroom, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")

    code, told = darkroom("topics")

    assert code == 1
    assert told.splitlines()[0] == "error Kafka does not answer at 127.0.0.1:1"
    assert not logging.getLogger("aiokafka").isEnabledFor(logging.ERROR)


def test_lines_of_logs_are_json_where_that_is_asked_for(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "logs").mkdir(parents=True)
    (home / "logs" / "api.log").write_text('one "quoted"\ntwo\n')

    logs(json=True)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        {"process": "api", "line": 'one "quoted"'},
        {"process": "api", "line": "two"},
    ]


@pytest.mark.parametrize("ok", [True, False])
def test_the_tests_end_in_json_with_what_each_check_found(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], ok: bool
) -> None:
    checks = (("first", ("python", "-c", "print('noise')")), ("second", ("python", "-c", "1/0")))
    monkeypatch.setattr(test_command, "CHECKS", checks if not ok else checks[:1])
    failed: AbstractContextManager[object] = nullcontext()
    if not ok:
        failed = pytest.raises(CommandFailed, match="second found")

    with failed:
        test_command.test(json=True, pytest_arguments=["--version"])

    found = json.loads(capfd.readouterr().out)
    assert found["ok"] is ok
    assert [(check["name"], check["ok"]) for check in found["checks"]] == [
        ("first", True),
        ("pytest", True) if ok else ("second", False),
    ]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_no_line_of_help_is_cut_at_eighty_columns(command: str) -> None:
    app = cli.build(command)
    told = CliRunner().invoke(app, [command, "--help"], terminal_width=80).output
    overview = CliRunner().invoke(app, ["--help"], terminal_width=80).output

    cut = [line for line in (told + overview).splitlines() if re.search(r"\S\.\.\.$", line)]
    assert [line for line in cut if not line.startswith("Usage")] == []
