"""A path in -> an open file that holds its lock until it is closed or the process ends.

A folder that is made for it is its owner's alone: a home is made here first.
"""

import fcntl
from pathlib import Path
from typing import BinaryIO


def hold(path: Path) -> BinaryIO:
    """Waits for whoever else holds it; blocks the thread."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = path.open("ab")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def try_hold(path: Path) -> BinaryIO | None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def is_held(path: Path) -> bool:
    file = try_hold(path) if path.exists() else None
    if file is not None:
        file.close()
        return False
    return path.exists()
