"""The next run for this worker: the most urgent one of a project that may have another lease."""

from contextlib import suppress
from time import monotonic
from typing import Final

from services.fairness import Fairness
from services.mongo import OUTAGES
from services.queue import Lease, Queue

CAPS_FOR: Final = 1.0  #: seconds that the list of caps is good for


class Claims:
    """Where no project has a cap, a claim is one round trip."""

    def __init__(self, queue: Queue, fairness: Fairness) -> None:
        self._queue = queue
        self._fairness = fairness
        self._caps: dict[str, int] = {}
        self._read_at = float("-inf")

    async def next(self) -> Lease | None:
        if monotonic() - self._read_at > CAPS_FOR:
            self._caps, self._read_at = await self._fairness.caps(), monotonic()
        full = [name for name in self._caps if await self._leases(name) >= self._caps[name]]
        lease = await self._queue.claim(full)
        if lease is None:
            return None
        if lease.row.project in self._caps and await self._over(lease.row.project):
            await self._queue.release(lease)
            return None
        return lease

    async def _over(self, project: str) -> bool:
        """Two workers took the last place at once; in an outage one too many does no harm."""
        with suppress(*OUTAGES):
            return await self._leases(project) > self._caps[project]
        return False

    async def _leases(self, project: str) -> int:
        return await self._fairness.leases(project)
