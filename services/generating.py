"""An engine's work for one run: begun as early as can be, and ended with the run's lease."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from schemas.jobs import Stage
from services import progress
from services.broker import Publisher
from services.engine.messages import Generated
from services.engine.process import EngineProcess
from services.errors import Stopped
from services.leases import Hold
from services.sourcing import Prepared

T = TypeVar("T")
Ending = Coroutine[Any, Any, None]


class Generating:
    def __init__(
        self, engine: EngineProcess, publisher: Publisher, near_end: Callable[[], Ending]
    ) -> None:
        """`near_end` is run beside the engine's last step, once."""
        self._engine = engine
        self._publisher = publisher
        self._near_end = near_end
        self._ending: asyncio.Task[None] | None = None
        self._latest = progress.Latest()
        self._work: asyncio.Task[Generated] | None = None

    def begin(self, prepared: Prepared) -> None:
        """It takes its turn of the engine; nothing happens where it has begun."""
        if self._work is None:
            self._work = asyncio.create_task(
                self._engine.generate(
                    prepared.spec, references=prepared.references, on_progress=self._note
                )
            )

    async def done(self, hold: Hold) -> Generated:
        """Raise what the engine raises, and `Stopped` once the lease is lost or cancelled."""
        assert self._work is not None, "it has begun"
        if hold.ended:
            raise Stopped
        async with progress.told(self._publisher, hold.lease, self._latest):
            return await unless_ended(self._work, hold)

    async def end(self) -> None:
        """Whatever nobody wants any more stops at its next step."""
        tasks = [task for task in (self._work, self._ending) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _note(self, stage: Stage, step: int, steps: int) -> None:
        self._latest.note(stage, step, steps)
        if stage is Stage.DECODING and self._ending is None:
            self._ending = asyncio.create_task(self._near_end())


async def unless_ended(work: asyncio.Task[T], hold: Hold) -> T:
    """Raise `Stopped` once the lease is lost or cancelled; what is under way is given up."""
    try:
        with hold.stopping(work.cancel):
            return await work
    except asyncio.CancelledError:
        if hold.ended:
            raise Stopped from None
        raise
