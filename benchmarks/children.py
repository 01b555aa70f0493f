"""A command in -> a process that ends with us, spoken to in lines, its CPU time read."""

import asyncio
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from compose.embedded.children import dies_with_parent
from compose.embedded.parts import Command
from compose.embedded.probes import http_status
from compose.errors import CommandFailed

START_WITHIN: Final = 60.0  #: seconds
STOP_WITHIN: Final = 5.0
POLL: Final = 0.05
TAIL_LINES: Final = 12
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Child:
    def __init__(self, process: Process) -> None:
        self._process = process

    async def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def hear(self) -> str:
        """Its next line; `CommandFailed` when it ends instead."""
        assert self._process.stdout is not None
        async with asyncio.timeout(START_WITHIN):
            line = await self._process.stdout.readline()
        if not line:
            raise CommandFailed("a process of the benchmark ended")
        return line.decode().strip()

    async def listening(self, port: int, path: str = "/") -> None:
        """Return once it answers 200 on `port`."""
        async with asyncio.timeout(START_WITHIN):
            while await http_status(port, path) != 200:
                if self._process.returncode is not None:
                    raise CommandFailed("a process of the benchmark ended")
                await asyncio.sleep(POLL)

    @property
    def cpu_seconds(self) -> float | None:
        """All its threads, user and system; None where there is no /proc."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()  # the second field may hold spaces
        return (int(fields[11]) + int(fields[12])) / TICKS


@asynccontextmanager
async def running(command: Command) -> AsyncIterator[Child]:
    """What it said on stderr is shown when something fails."""
    with TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            *command.arguments,
            cwd=command.folder,
            env={**os.environ, **command.environment},  # noqa: TID251 - a child's
            stdin=PIPE,
            stdout=PIPE,
            stderr=said,
            preexec_fn=dies_with_parent(),
        )
        try:
            yield Child(process)
        except CommandFailed as error:
            said.seek(0)
            tail = said.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
            raise CommandFailed("\n".join((str(error), *tail)), error.hint) from error
        finally:
            await _end(process)


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_WITHIN):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
