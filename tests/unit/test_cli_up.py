"""`darkroom up` that does not get there: it says why, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compose.commands.first_picture import DEATHS, Deaths
from compose.embedded import status
from compose.embedded.locks import try_hold
from compose.embedded.state import FirstKey
from compose.embedded.status import ProcessStatus, StackStatus
from compose.embedded.wiring import ROOT
from compose.errors import CommandFailed
from compose.summary import S3Access, Summary, print_summary

NOWHERE = {
    "DARKROOM_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "DARKROOM_MONGO__URL": "mongodb://127.0.0.1:1/",
    "DARKROOM_MONGO__SERVER_SELECTION_TIMEOUT": "0.2",
    "DARKROOM_S3__ENDPOINT_URL": "http://127.0.0.1:1",
}


@pytest.fixture
def up(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """With every part somebody else's, and none of them there."""
    process = subprocess.Popen(
        (sys.executable, "-P", "-m", "compose.cli", "up"),
        env={**os.environ, **NOWHERE, "DARKROOM_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()


@pytest.mark.timeout(60)
def test_it_says_whom_the_migration_waits_for_and_sigterm_leaves_nothing_running(
    up: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert up.stderr is not None
    line = next(line for line in up.stderr if "waits for mongo" in line)
    written = status.read(tmp_path)
    assert status.is_running(tmp_path)

    up.send_signal(signal.SIGTERM)

    assert up.wait(30) != 0
    assert line.startswith("migration waits for mongo: ServerSelectionTimeoutError: 127.0.0.1:1:")
    assert written is not None
    assert written.phase == "migrating"
    assert not status.is_running(tmp_path)


def test_who_dies_again_and_again_before_the_first_picture_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    holding = try_hold(tmp_path / status.LOCK)
    assert holding is not None
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "generator.log").write_text("no space left on device\n")
    with holding:
        _write(tmp_path, restarts=2)
        deaths = Deaths(tmp_path)
        _write(tmp_path, restarts=2 + DEATHS - 1)
        deaths.check()
        _write(tmp_path, restarts=2 + DEATHS)

        with pytest.raises(CommandFailed, match=f"generator has died {DEATHS} times") as failed:
            deaths.check()

    assert "no space left on device" in str(failed.value)
    assert "./darkroom logs generator" in failed.value.hint


def test_a_stack_that_was_stopped_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))

    with pytest.raises(CommandFailed, match="nothing runs"):
        Deaths(tmp_path).check()


@pytest.mark.parametrize("random_weights", [True, False])
def test_pictures_of_random_weights_are_called_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, random_weights: bool
) -> None:
    print_summary(_summary(tmp_path), tmp_path / "x.png", 1.0, "x", random_weights=random_weights)

    assert ("has random weights" in capsys.readouterr().out) is random_weights


def _write(home: Path, *, restarts: int) -> None:
    process = ProcessStatus(name="generator", pid=1, restarts=restarts)
    status.write(home, StackStatus(pid=1, phase="ready", processes=(process,)))


def _summary(home: Path) -> Summary:
    key = FirstKey(key="dk_x", signing_key_id="x", signing_secret="x", project="default")
    return Summary(
        url="http://127.0.0.1:1",
        api_key=key.key,
        **key.model_dump(exclude={"key"}),
        kafka="127.0.0.1:1",
        mongo="mongodb://127.0.0.1:1",
        s3=S3Access(endpoint="http://127.0.0.1:1", bucket="x", access_key="x", secret_key="x"),
        home=home,
    )
