"""The leases that a worker holds: renewed, watched for cancels, given up when they are lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from uuid import UUID

import structlog

from services.queue import Lease, Queue
from services.settings import GeneratorSettings

log = structlog.get_logger()

CANCELS_EVERY = timedelta(seconds=1)  #: one query for all leases of a worker


class Hold:
    """A lease in the hand, and what became of it meanwhile."""

    def __init__(self, lease: Lease, ends: float) -> None:
        self.lease = lease
        self.lost = False
        self.cancelled = False
        self.ends = ends  #: on this process's monotonic clock
        self._stop: Callable[[], None] | None = None

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Only inside does losing or cancelling the lease call `stop`: the engine is shared."""
        self._stop = stop
        try:
            yield
        finally:
            self._stop = None

    def lose(self) -> None:
        self.lost = True
        self._end()

    def cancel(self) -> None:
        self.cancelled = True
        self._end()

    def _end(self) -> None:
        if self._stop is not None:
            self._stop()


class Leases:
    def __init__(self, queue: Queue, settings: GeneratorSettings) -> None:
        self._queue = queue
        self._settings = settings
        self._holds: dict[UUID, Hold] = {}

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[Hold]:
        hold = Hold(lease, self._lease_end())
        self._holds[lease.row.id] = hold
        try:
            yield hold
        finally:
            del self._holds[lease.row.id]

    async def renew(self) -> None:
        """Once per `settings.renew`. A lease that can't be renewed in time is lost."""
        for hold in list(self._holds.values()):
            began = self._lease_end()
            try:
                if await self._queue.renew(hold.lease):
                    hold.ends = began
                else:
                    self._give_up(hold, "taken")
            finally:
                # without an answer, stop before anybody else may start
                if monotonic() > hold.ends - self._settings.renew.total_seconds():
                    self._give_up(hold, "not renewed")

    async def watch_cancels(self) -> None:
        leases = [hold.lease for hold in self._holds.values()]
        if not leases:
            return
        for run in await self._queue.cancelled(leases):
            if run in self._holds:
                self._holds[run].cancel()

    def _give_up(self, hold: Hold, why: str) -> None:
        if not hold.lost and self._holds.get(hold.lease.row.id) is hold:
            log.warning("lease_lost", run_id=str(hold.lease.row.id), why=why)
            hold.lose()

    def _lease_end(self) -> float:
        return monotonic() + self._settings.lease.total_seconds()
