"""A supervisor that starts a stack in -> what it does, as it does it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

from rich.progress import Progress

from compose.console import err, spinners
from compose.embedded import launch
from compose.embedded.status import StackStatus

MIGRATION = "migration"


@contextmanager
def not_left_behind(supervisor: Popen[bytes] | None) -> Iterator[None]:
    """What we have started ourselves doesn't outlive an `up` that fails or is broken off."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except BaseException:
        if supervisor is not None:
            supervisor.terminate()
            supervisor.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def follow(home: Path, supervisor: Popen[bytes] | None) -> None:
    """Return when all are ready; where there is no terminal only what is waited for is told."""
    told = ""
    with spinners() as progress:
        for status in launch.follow(home, supervisor):
            _show(progress, status)
            if status.waits not in ("", told) and not err.is_terminal:
                told = status.waits
                err.print(f"{MIGRATION} {told}")


def _show(progress: Progress, status: StackStatus) -> None:
    shown = {task.description.split()[0]: task.id for task in progress.tasks}
    if status.phase == "migrating":
        if MIGRATION not in shown:
            shown[MIGRATION] = progress.add_task(MIGRATION, total=1)
        progress.update(shown[MIGRATION], description=f"{MIGRATION} {status.waits}".rstrip())
    elif MIGRATION in shown:
        progress.update(shown[MIGRATION], description=MIGRATION, completed=1)
    for process in status.processes:
        if process.name not in shown and process.pid is not None:
            shown[process.name] = progress.add_task(process.name, total=1)
        if process.name in shown:
            again = f" (restarted {process.restarts} times)" if process.restarts else ""
            loads = " loads its model" if process.loads else ""
            progress.update(
                shown[process.name],
                description=f"{process.name}{again}{loads}",
                completed=int(process.ready),
            )
