"""What an engine says of its steps in; at most two progress events a second out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from schemas.jobs import Progress, Stage
from schemas.topics import GENERATION_PROGRESS
from services import metrics, run_events
from services.broker import BROKER_OUTAGES, Publisher
from services.queue import Lease

EVERY: Final = 0.5  #: seconds; two events a second a job are enough for a bar
DENOISING: Final = (10, 90)  #: percent where it begins and ends


class Latest:
    """The newest progress of a run; percent never falls."""

    def __init__(self) -> None:
        self.newest = Progress(stage=Stage.LOADING_MODEL)
        self.clock = metrics.StageClock()

    def note(self, stage: Stage, step: int, steps: int) -> None:
        self.clock.enter(stage)
        first, last = DENOISING
        percent = {Stage.ENCODING_PROMPT: 5, Stage.DECODING: last, Stage.UPLOADING: 95}.get(
            stage, 0
        )
        if stage is Stage.DENOISING and steps:
            percent = first + (last - first) * step // steps
        self.newest = Progress(
            stage=stage, step=step, steps=steps, percent=max(percent, self.newest.percent)
        )


@asynccontextmanager
async def told(publisher: Publisher, lease: Lease, latest: Latest) -> AsyncIterator[None]:
    """For as long as the engine is at the leased run."""
    telling = asyncio.create_task(_tell(publisher, lease, latest))
    try:
        yield
    finally:
        latest.clock.stop()
        telling.cancel()


async def _tell(publisher: Publisher, lease: Lease, latest: Latest) -> None:
    last = None
    while True:
        await asyncio.sleep(EVERY)
        if latest.newest == last:
            continue
        last = latest.newest
        try:
            event = run_events.progressed(lease.row, last)
            await publisher.publish(GENERATION_PROGRESS, str(lease.row.job), event.encode())
        except BROKER_OUTAGES:
            continue  # the next one tells more
