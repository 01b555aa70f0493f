"""A command in -> a child process that ends with us, its output in a log file."""

import asyncio
import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from compose.embedded.parts import Command

PR_SET_PDEATHSIG = 1
TAIL_LINES = 12
LOG_LIMIT = 20 * 1024 * 1024

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


async def start(command: Command, log: Path) -> asyncio.subprocess.Process:
    """Call from the main thread: Linux ends the child when the *thread* that forked it ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    trim(log)
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *command.arguments,
            cwd=command.folder,
            env={**os.environ, **command.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            umask=0o077,  # pictures, messages and keys are the home's owner's
            preexec_fn=dies_with_parent(),
        )


def dies_with_parent() -> Callable[[], None] | None:
    """For `preexec_fn`; elsewhere than on Linux a killed supervisor leaves its children behind."""
    return None if _libc is None else partial(_die_with, os.getpid())


def _die_with(parent: int) -> None:
    assert _libc is not None
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def kill_group(pid: int) -> None:
    """End what the child has started too; a session of its own made it a group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def trim(log: Path) -> None:
    """Keep one older file; the writer appends, so it goes on at the new beginning."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)


def tail(log: Path, lines: int = TAIL_LINES, *, after: int = 0) -> str:
    """Of what stands `after` that many bytes."""
    try:
        text = log.read_bytes()[after:].decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
