"""Real small processes under the real supervisor: killed, stopped, orphaned."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compose.embedded import status
from compose.embedded.children import LOG_LIMIT, trim
from compose.embedded.status import ProcessStatus, StackStatus
from compose.embedded.wiring import ROOT

PATIENCE_SECONDS = 20.0


class Running:
    def __init__(self, home: Path, *names: str) -> None:
        self.home = home
        (home / "logs").mkdir()
        self.supervisor = subprocess.Popen(
            (sys.executable, str(ROOT / "tests" / "unit" / "supervised.py"), str(home), *names),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def status(self) -> StackStatus | None:
        return status.read(self.home)

    def process(self, name: str) -> ProcessStatus:
        written = self.status()
        assert written is not None
        return next(process for process in written.processes if process.name == name)

    def pid(self, name: str) -> int:
        pid = self.process(name).pid
        assert pid is not None
        return pid

    def until_ready(self) -> None:
        wait_for(lambda: (written := self.status()) is not None and written.ready)

    def end(self) -> None:
        if self.supervisor.poll() is None:
            self.supervisor.kill()
        self.supervisor.wait()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """A zombie is as good as gone: it waits for its new parent to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start_one(*names: str) -> Running:
        started.append(Running(tmp_path, *names))
        return started[-1]

    yield start_one
    for running in started:
        running.end()


def test_a_killed_process_comes_back_and_is_counted(start: Callable[..., Running]) -> None:
    running = start("steady")
    running.until_ready()
    before = running.pid("steady")

    os.kill(before, signal.SIGKILL)

    wait_for(lambda: running.process("steady").restarts == 1 and running.process("steady").ready)
    assert running.pid("steady") != before
    assert is_alive(running.pid("steady"))


def test_what_a_killed_process_had_started_ends_with_it(start: Callable[..., Running]) -> None:
    running = start("parent")
    running.until_ready()
    grandchild = int((running.home / "logs" / "parent.log").read_text().split()[0])
    assert is_alive(grandchild)

    os.kill(running.pid("parent"), signal.SIGKILL)

    wait_for(lambda: not is_alive(grandchild))


def test_sigterm_stops_everything_in_bounded_time(start: Callable[..., Running]) -> None:
    running = start("steady", "stubborn")
    running.until_ready()
    pids = [running.pid("steady"), running.pid("stubborn")]
    began = time.monotonic()

    running.supervisor.terminate()

    assert running.supervisor.wait(PATIENCE_SECONDS) == 0
    assert time.monotonic() - began < 5
    assert not [pid for pid in pids if is_alive(pid)]
    written = running.status()
    assert written is not None
    assert written.phase == "stopped"
    assert not status.is_running(running.home)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_killed_supervisor_leaves_no_orphan(start: Callable[..., Running]) -> None:
    running = start("steady", "stubborn")
    running.until_ready()
    pids = [running.pid("steady"), running.pid("stubborn")]

    running.supervisor.kill()

    wait_for(lambda: not [pid for pid in pids if is_alive(pid)])
    wait_for(lambda: not status.is_running(running.home))


def test_a_process_that_never_starts_is_given_up_and_named(start: Callable[..., Running]) -> None:
    running = start("steady", "hopeless")

    assert running.supervisor.wait(PATIENCE_SECONDS) == 1

    written = running.status()
    assert written is not None
    assert written.phase == "failed"
    assert "hopeless does not start: exit code 7" in written.error


def test_a_second_supervisor_of_a_home_refuses(start: Callable[..., Running]) -> None:
    running = start("steady")
    running.until_ready()

    second = subprocess.run(
        running.supervisor.args,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert second.returncode == 1
    assert "another supervisor runs" in second.stderr
    assert running.process("steady").restarts == 0


def test_a_long_log_is_cut_and_one_older_file_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    with log.open("ab") as writer:
        writer.truncate(LOG_LIMIT + 1)
        trim(log)
        writer.write(b"later\n")

    assert log.read_bytes() == b"later\n"
    assert log.with_name("kafka.log.1").stat().st_size == LOG_LIMIT + 1
