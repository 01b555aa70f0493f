"""Jobs that may run -> the same jobs once they have ended, or once patience has."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from api.edge import extend
from api.state import AppRequest
from schemas.jobs import Job
from services.mongo import OUTAGES

SHORTEST_PAUSE: Final = 0.02  #: seconds between two looks; grows
LONGEST_PAUSE: Final = 0.25
LONGEST_WITH_BELL: Final = 1.0
AFTER_BELL: Final = 0.005  #: what the projector needs, or some of it
MARGIN: Final = 5.0  #: seconds for the last look and the answer


async def until_ended(request: AppRequest, jobs: Sequence[Job], seconds: float) -> tuple[Job, ...]:
    """An outage while waiting is waited out: the jobs are admitted, whatever happens here."""
    extend(request, seconds + MARGIN)
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    pause = SHORTEST_PAUSE
    seen = tuple(jobs)
    waiters = request.state["waiters"]
    with waiters.bell(job.id for job in jobs) as bell:
        while not all(job.status.terminal for job in seen) and (left := end - loop.time()) > 0:
            if await _rung(bell, min(pause, left)):
                pause = AFTER_BELL
            else:
                pause = min(pause * 1.5, LONGEST_WITH_BELL if waiters.ready else LONGEST_PAUSE)
            with suppress(*OUTAGES, TimeoutError):
                async with asyncio.timeout(min(MARGIN, max(left, 1.0))):
                    seen = await _read(request, seen)
    return seen


async def _rung(bell: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return False
    bell.clear()
    return True


async def _read(request: AppRequest, jobs: tuple[Job, ...]) -> tuple[Job, ...]:
    read_model = request.state["read_model"]
    found = await read_model.these(jobs[0].project, [job.id for job in jobs])
    return found if len(found) == len(jobs) else jobs
