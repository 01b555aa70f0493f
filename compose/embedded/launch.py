"""A settled home in -> its supervisor in the background, followed until it is ready; stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

from rich.progress import Progress

from compose.embedded import status as board
from compose.embedded.children import dies_with_parent, tail
from compose.embedded.downloads import default_repository, fetch
from compose.embedded.jars import Jar, missing
from compose.embedded.options import EmbeddedOptions
from compose.embedded.stack import Layout
from compose.embedded.status import StackStatus
from compose.embedded.wiring import ROOT
from compose.errors import CommandFailed

POLL_SECONDS = 0.05
READY_SECONDS = 300.0
MODEL_SECONDS = 3600.0  #: while nothing but models is waited for: the first may be fetched
STOP_SECONDS = 60.0  #: longer than any part's own grace


async def download(jars: tuple[Jar, ...], progress: Progress) -> None:
    """Nothing to see when the cache has them all."""
    options = EmbeddedOptions()
    wanted = missing(jars, options.cache_folder)
    if not wanted:
        return
    total = sum(jar.size for jar in wanted)
    task = progress.add_task("Kafka and S3Proxy", total=total)
    await fetch(
        jars,
        options.cache_folder,
        options.maven_repository or default_repository(),
        lambda received: progress.advance(task, received),
    )
    progress.update(task, completed=total)


def start(home: Path, layout: Layout, *, with_us: bool = False) -> subprocess.Popen[bytes]:
    """`with_us`: it stops when the thread that calls this ends, however that happens."""
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    (home / board.FILE).unlink(missing_ok=True)
    with (logs / "supervisor.log").open("ab") as output:
        return subprocess.Popen(
            (sys.executable, "-P", "-m", "compose.embedded.daemon", layout.model_dump_json()),
            env={**os.environ, "PYTHONPATH": str(ROOT), "DARKROOM_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=dies_with_parent() if with_us else None,  # noqa: PLW1509
        )


def follow(home: Path, supervisor: subprocess.Popen[bytes] | None = None) -> Iterator[StackStatus]:
    """Each new status up to the first that is ready; raises when it never will be."""
    began = monotonic()
    seen: StackStatus | None = None
    while seen is None or not seen.ready:
        ended = supervisor.poll() is not None if supervisor else not board.is_running(home)
        status = board.read(home)
        patience = MODEL_SECONDS if status is not None and status.loads else READY_SECONDS
        if ended or monotonic() - began > patience:
            raise _failure(home, status)
        if status is not None and status != seen:
            seen = status
            yield status
        sleep(POLL_SECONDS)


def stop(home: Path) -> bool:
    """Whether there was something to stop; returns when all of it has ended."""
    status = board.read(home)
    if status is None or not board.is_running(home):
        return False
    os.kill(status.pid, signal.SIGTERM)
    deadline = monotonic() + STOP_SECONDS
    while board.is_running(home):
        if monotonic() > deadline:
            os.kill(status.pid, signal.SIGKILL)
        sleep(POLL_SECONDS)
    return True


def _failure(home: Path, status: StackStatus | None) -> CommandFailed:
    logs = home / "logs"
    if status is None:
        said = tail(logs / "supervisor.log")
        return CommandFailed(f"the supervisor did not start\n{said}", "run `./darkroom doctor`")
    guilty = [process.name for process in status.processes if process.restarts]
    slow = [process.name for process in status.processes if not process.ready]
    message = status.error or f"not ready: {', '.join(slow)}"
    if guilty:
        message = f"{message}\n{tail(logs / f'{guilty[0]}.log')}"
    return CommandFailed(message, f"read the logs in {logs}, then run `./darkroom doctor`")
