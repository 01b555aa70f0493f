"""The leases that a worker holds: renewed, watched for cancels, given up when they are lost."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog

from services.queue import Lease, Queue
from services.settings import GeneratorSettings

log = structlog.get_logger()

CANCELS_EVERY = timedelta(seconds=1)  #: one query for all leases of a worker


class Hold:
    """A lease in the hand, and what became of it meanwhile."""

    def __init__(self, lease: Lease, until: float) -> None:
        self.lease = lease
        self.lost = False
        self.cancelled = False
        self._stop: Callable[[], object] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self.keep(until)

    def keep(self, until: float) -> None:
        """Hold on; without another word it is lost at `until`, on the loop's clock."""
        self.let_go()
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_at(until, self.lose, "not renewed")

    def let_go(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    @contextmanager
    def stopping(self, stop: Callable[[], object]) -> Iterator[None]:
        """Only inside does losing or cancelling the lease call `stop`."""
        self._stop = stop
        try:
            yield
        finally:
            self._stop = None

    def lose(self, why: str) -> None:
        if not self.lost:
            row = self.lease.row
            log.warning("lease_lost", run_id=str(row.id), job_id=str(row.job), why=why)
        self.lost = True
        self._end()

    def cancel(self) -> None:
        self.cancelled = True
        self._end()

    @property
    def ended(self) -> bool:
        return self.lost or self.cancelled

    def _end(self) -> None:
        if self._stop is not None:
            self._stop()


class Leases:
    def __init__(self, queue: Queue, settings: GeneratorSettings) -> None:
        self._queue = queue
        self._settings = settings
        self._holds: set[Hold] = set()  # of one run there may be two: a lost one and a new one

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[Hold]:
        hold = Hold(lease, self._until())
        self._holds.add(hold)
        try:
            yield hold
        finally:
            self._holds.discard(hold)
            hold.let_go()

    async def renew(self) -> None:
        """Once per `settings.renew`; one that gets no answer does not keep the others waiting."""
        await asyncio.gather(*(self._renew(hold) for hold in self._holds if not hold.lost))

    async def watch_cancels(self) -> None:
        leases = [hold.lease for hold in self._holds]
        if not leases:
            return
        cancelled = await self._queue.cancelled(leases)
        for hold in list(self._holds):
            if hold.lease.row.id in cancelled:
                hold.cancel()

    async def _renew(self, hold: Hold) -> None:
        until = self._until()
        renewed = await self._queue.renew(hold.lease)
        if hold not in self._holds:  # its outcome was decided meanwhile
            return
        if renewed:
            hold.keep(until)
        else:
            hold.lose("taken")

    def _until(self) -> float:
        """Stop while the lease still holds: after it anybody else may start."""
        left = self._settings.lease - self._settings.renew
        return asyncio.get_running_loop().time() + left.total_seconds()
