"""A child process of the engine: frames in, replies in a queue, and how it ended."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import Self

import structlog
from pydantic import ValidationError

from services.engine.messages import LENGTH, Ready, Reply, ReplyFrame
from services.settings import EngineSettings

ROOT = Path(__file__).parents[2]  #: where `-m services.engine.child` is found

log = structlog.get_logger()


class Child:
    def __init__(self, process: Process) -> None:
        self._process = process
        self.ready = asyncio.Event()  #: or ended
        self.ended = False
        #: None is the last one
        self.replies: asyncio.Queue[tuple[Reply, tuple[bytes, ...]] | None] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, settings: EngineSettings) -> Self:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.engine.child",
            settings.model_dump_json(),
            cwd=ROOT,
            stdin=PIPE,
            stdout=PIPE,
        )
        log.info("engine_started", pid=process.pid)
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, frame: bytes) -> None:
        """To a child that is gone it goes nowhere; its last reply tells."""
        assert self._process.stdin is not None
        self._process.stdin.write(frame)

    def hang_up(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def gone(self, timeout: float | None = None) -> None:
        await asyncio.wait({self._reading}, timeout=timeout)

    async def _read(self) -> None:
        try:
            while True:
                await self._read_frame()
        except asyncio.IncompleteReadError:
            pass  # it ended; killing it now would take its status from asyncio
        except ValidationError:
            self.kill()
            raise
        finally:
            status = await self._process.wait()
            self.ended = True
            self.ready.set()
            self.replies.put_nowait(None)
            log.info("engine_ended", pid=self.pid, status=status)

    async def _read_frame(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        length = LENGTH.unpack(await stdout.readexactly(LENGTH.size))[0]
        frame = ReplyFrame.model_validate_json(await stdout.readexactly(length))
        blobs = tuple([await stdout.readexactly(size) for size in frame.blobs])
        if isinstance(frame.message, Ready):
            self.ready.set()
        else:
            self.replies.put_nowait((frame.message, blobs))
