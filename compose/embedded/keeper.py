"""One part in -> it runs: started again when it dies, with a growing pause, until it is stopped."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic

import structlog

from compose.embedded.children import kill_group, start
from compose.embedded.parts import Part
from compose.embedded.status import ProcessStatus
from compose.errors import CommandFailed

log = structlog.get_logger()

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
HEALTHY_SECONDS = 30.0  #: after these the pause starts from the beginning
PROBE_SECONDS = 0.1
HOPELESS_RESTARTS = 5  #: of a part that was never ready


class Keeper:
    def __init__(self, part: Part, logs: Path, changed: Callable[[], None]) -> None:
        self.part = part
        self.status = ProcessStatus(name=part.name)
        self.log_file = logs / f"{part.name}.log"
        self._changed = changed
        self._stopping = asyncio.Event()
        self._error = ""
        self._first_ready: asyncio.Future[None] = asyncio.Future()
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Future[None]:
        """Done when the part is ready for the first time, failed when it seems it never will be."""
        self._task = asyncio.create_task(self._keep())
        return self._first_ready

    async def stop(self) -> None:
        self._stopping.set()
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), self.part.stop_seconds)
            except TimeoutError:
                log.warning("stop_timed_out", process=self.part.name)
                kill_group(process.pid)
        if self._task is not None:
            await self._task
            self.part.after_stop()

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began = monotonic()
            try:
                await self._live()
            except (OSError, CommandFailed) as error:
                self._error = str(error)
            if self._stopping.is_set():
                break
            pause = FIRST_PAUSE_SECONDS if monotonic() - began > HEALTHY_SECONDS else pause
            self._say(pid=None, ready=False, restarts=self.status.restarts + 1)
            log.warning("died", process=self.part.name, why=self._error, restart_in=pause)
            self._despair()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        self._say(pid=None, ready=False)

    async def _live(self) -> None:
        await asyncio.to_thread(self.part.prepare)
        if self._stopping.is_set():
            return
        self._process = process = await start(self.part.command, self.log_file)
        self._say(pid=process.pid)
        log.info("started", process=self.part.name, pid=process.pid)
        probing = asyncio.create_task(self._probe())
        try:
            code = await process.wait()
            self._error = f"signal {-code}" if code < 0 else f"exit code {code}"
        finally:
            probing.cancel()
            kill_group(process.pid)

    def _despair(self) -> None:
        if self.status.restarts >= HOPELESS_RESTARTS and not self._first_ready.done():
            failure = CommandFailed(f"{self.part.name} does not start: {self._error}")
            self._first_ready.set_exception(failure)

    async def _probe(self) -> None:
        while True:
            if await self._is_ready():
                break
            await asyncio.sleep(PROBE_SECONDS)
        self._say(ready=True)
        if not self._first_ready.done():
            self._first_ready.set_result(None)
        log.info("ready", process=self.part.name)

    async def _is_ready(self) -> bool:
        try:
            return await self.part.ready()
        except OSError:
            return False

    def _say(self, **changes: int | bool | None) -> None:
        self.status = self.status.model_copy(update=changes)
        self._changed()
