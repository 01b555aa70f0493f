"""The next run for this worker: the most urgent one of a project that may have another lease."""

from contextlib import suppress

from services.fairness import Fairness
from services.mongo import OUTAGES
from services.queue import Lease, Queue


class Claims:
    """Where no project has a cap, a claim is one round trip."""

    def __init__(self, queue: Queue, fairness: Fairness) -> None:
        self._queue = queue
        self._fairness = fairness

    async def next(self) -> Lease | None:
        caps = await self._fairness.caps()
        full = [name for name, cap in caps.items() if await self._leases(name) >= cap]
        lease = await self._queue.claim(full)
        if lease is None:
            return None
        if await self._over(lease.row.project, caps):
            await self._queue.release(lease)
            return None
        return lease

    async def _over(self, project: str, caps: dict[str, int]) -> bool:
        """Two workers took the last place at once; in an outage one too many does no harm."""
        with suppress(*OUTAGES):
            return project in caps and await self._leases(project) > caps[project]
        return False

    async def _leases(self, project: str) -> int:
        return await self._fairness.leases(project)
