"""The wheel's mongod in -> the libraries it is linked to, where this system lacks them."""

import ctypes
import os
from importlib.util import find_spec
from pathlib import Path

from compose.errors import CommandFailed

#: Slim images lack them; the pycurl wheel brings its own copies.
LIBRARIES = ("libcurl.so.4", "libssl.so.3", "libcrypto.so.3")


def library_path(folder: Path) -> dict[str, str]:
    """LD_LIBRARY_PATH for the wheel's mongod, empty where the system has all it is linked to."""
    absent = [name for name in LIBRARIES if not _loads(name)]
    if not absent:
        return {}
    spec = find_spec("pycurl")
    if spec is None or spec.origin is None:
        raise CommandFailed(f"mongod needs {absent[0]}", "install it (Debian: libcurl4)")
    bundled = Path(spec.origin).parent.parent / "pycurl.libs"
    folder.mkdir(parents=True, exist_ok=True)
    for name in absent:
        stem, suffix = name.split(".so")
        copy = next(bundled.glob(f"{stem}-*.so{suffix}*"))
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(copy)
    return {"LD_LIBRARY_PATH": os.pathsep.join((str(folder), str(bundled)))}


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
