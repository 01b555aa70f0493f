"""Parts in -> all of them kept running: the stack, the migration, then our own processes.

SIGTERM stops our processes first and the stack after them. If this process is itself killed, Linux
ends its children; nothing is left behind.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import structlog

from compose.embedded import status as board
from compose.embedded.children import start, tail, trim
from compose.embedded.keeper import Keeper
from compose.embedded.locks import try_hold
from compose.embedded.parts import Command, Part
from compose.embedded.status import Phase, StackStatus
from compose.errors import CommandFailed

log = structlog.get_logger()

TRIM_SECONDS = 10.0
LISTEN_SECONDS = 0.5


class Supervisor:
    def __init__(
        self, home: Path, stack: Sequence[Part], migration: Command | None, apps: Sequence[Part]
    ) -> None:
        self._home = home
        self._logs = home / "logs"
        self._stack = [Keeper(part, self._logs, self._write) for part in stack]
        self._apps = [Keeper(part, self._logs, self._write) for part in apps]
        self._migration = migration
        self._phase: Phase = "starting"
        self._error = ""
        self._waits = ""
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Returns when it has been told to stop and all is stopped."""
        holding = try_hold(self._home / board.LOCK)
        if holding is None:
            raise CommandFailed(f"another supervisor runs in {self._home}")
        loop = asyncio.get_running_loop()
        for wanted in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(wanted, self._stop.set)
        with holding:
            try:
                await self._until_stopped()
            except CommandFailed as error:
                self._error = str(error)
                log.error("gave_up", why=self._error)
                raise
            finally:
                self._enter("stopping")
                await asyncio.gather(*(keeper.stop() for keeper in self._apps))
                await asyncio.gather(*(keeper.stop() for keeper in self._stack))
                self._enter("failed" if self._error else "stopped")

    async def _until_stopped(self) -> None:
        self._enter("starting")
        starting = asyncio.create_task(self._start())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return
        await starting
        while not self._stop.is_set():
            await asyncio.wait({stopping}, timeout=TRIM_SECONDS)
            for keeper in (*self._stack, *self._apps):
                trim(keeper.log_file)

    async def _start(self) -> None:
        await asyncio.gather(*(keeper.begin() for keeper in self._stack))
        if self._migration is not None:
            self._enter("migrating")
            await self._migrate(self._migration)
        self._enter("starting")
        await asyncio.gather(*(keeper.begin() for keeper in self._apps))
        self._enter("ready")

    async def _migrate(self, command: Command) -> None:
        """It waits by itself for servers that are away; what it says is shown meanwhile."""
        file = self._logs / "migrate.log"
        process = await start(command, file)
        earlier = file.stat().st_size
        ended = asyncio.create_task(process.wait())
        while not ended.done():
            await asyncio.wait({ended}, timeout=LISTEN_SECONDS)
            said = tail(file, lines=1, after=earlier)
            self._waits = said if said.startswith("waits for") else ""
            self._write()
        self._waits = ""
        if ended.result():
            said = tail(file, lines=2, after=earlier)
            raise CommandFailed(f"the migration failed ({file}):\n{said}")

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._write()

    def _write(self) -> None:
        processes = tuple(keeper.status for keeper in (*self._apps, *self._stack))
        status = StackStatus(
            pid=os.getpid(),
            phase=self._phase,
            error=self._error,
            waits=self._waits,
            processes=processes,
        )
        board.write(self._home, status)
