"""The engine as the event loop sees it: a child process that generates and can be killed.

No torch here: the child imports it. The loop never waits for a step.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Self

from schemas.jobs import GenerationSpec, Stage
from services.engine import messages
from services.engine.messages import Finished, Generate, Generated, Progressed, Refused, Stop
from services.engine.pipe import Child
from services.errors import (
    DarkroomError,
    EngineDied,
    InvalidSize,
    InvalidSpec,
    ModelRefused,
    NanPixels,
    OutOfMemory,
    UnknownModel,
)
from services.settings import EngineSettings

REFUSALS: dict[str, type[DarkroomError]] = {
    kind.code: kind
    for kind in (
        InvalidSize,
        InvalidSpec,
        ModelRefused,
        NanPixels,
        OutOfMemory,
        UnknownModel,
    )
}
CLOSING_SECONDS = 5.0

OnProgress = Callable[[Stage, int, int], None]  #: stage, steps done, steps in all


class EngineProcess:
    """Generations run one after the other; a child that died is replaced by the next one."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings.model_copy(update={"models": settings.models.resolve()})
        self._turn = asyncio.Lock()
        self._starting = asyncio.Lock()
        self._child: Child | None = None
        self._number = 0  #: of the running request, or of the last one

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: EngineSettings) -> AsyncIterator[Self]:
        """The child starts and loads the default model; `warm` waits for that."""
        engine = cls(settings)
        await engine._alive()
        try:
            yield engine
        finally:
            await engine._close()

    async def warm(self) -> None:
        """Return once the default model is loaded; raise `EngineDied`."""
        child = await self._alive()
        await child.ready.wait()
        if child.ended:
            raise EngineDied

    @property
    def ready(self) -> bool:
        """Whether there is a child that has loaded the default model."""
        child = self._child
        return child is not None and child.ready.is_set() and not child.ended

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    async def generate(
        self,
        spec: GenerationSpec,
        *,
        references: Sequence[bytes] = (),
        on_progress: OnProgress = lambda *_: None,
    ) -> Generated:
        """Raise a `PermanentError`, or `EngineDied` if the child died.

        Cancelling the task stops the child at its next step.
        """
        async with self._turn:
            child = await self._alive()
            self._number += 1
            number = self._number
            if not child.ready.is_set():
                on_progress(Stage.LOADING_MODEL, 0, 0)
            child.send(messages.pack(Generate(number=number, spec=spec), references))
            try:
                return await _answer(child, number, on_progress)
            except asyncio.CancelledError:
                child.send(messages.pack(Stop(number=number)))
                raise

    async def kill(self) -> None:
        """At once, in the middle of a step; the next generation starts a fresh child."""
        if self._child and not self._child.ended:
            self._child.kill()
            await self._child.gone()

    async def _alive(self) -> Child:
        async with self._starting:
            if self._child is None or self._child.ended:
                self._child = await Child.start(self._settings)
            return self._child

    async def _close(self) -> None:
        if self._child is None:
            return
        self._child.hang_up()
        await self._child.gone(CLOSING_SECONDS)
        await self.kill()


async def _answer(child: Child, number: int, on_progress: OnProgress) -> Generated:
    while (reply := await child.replies.get()) is not None:
        message, blobs = reply
        if message.number != number:  # of a request whose task was cancelled
            continue
        match message:
            case Progressed():
                on_progress(message.stage, message.step, message.steps)
            case Finished():
                return messages.generated(message, blobs)
            case Refused():
                raise REFUSALS[message.code](message.message)
    raise EngineDied
