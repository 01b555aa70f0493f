"""A worker's free place: intake leases to it what it writes, and nobody has to look for it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from services.queue import Lease


class Turn(NamedTuple):
    """A leased run, and what must be told before anything else is told of it."""

    lease: Lease
    accepted: asyncio.Future[None] | None = None


Promise = asyncio.Future[Turn | None]


class Slot:
    """Free while its worker has found nothing in the queue and waits."""

    def __init__(self) -> None:
        self._bell = asyncio.Event()
        self._free = False
        self._promise: Promise | None = None

    @property
    def rung(self) -> bool:
        return self._bell.is_set()

    def ring(self) -> None:
        """There is something in the queue."""
        self._bell.set()

    def listen(self) -> None:
        """From here on no ring is missed."""
        self._bell.clear()

    async def turn(self, seconds: float) -> Turn | None:
        """What is leased to this slot; None after a ring, or after `seconds`."""
        self._free, self._promise = True, None
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._bell.wait()
            self._free = False
            return None if self._promise is None else await self._promise
        except asyncio.CancelledError:
            if self._promise is not None:
                self._promise.cancel()  # whoever made it gives the run back
            raise
        finally:
            self._free = False

    @contextmanager
    def promised(self) -> Iterator[Promise | None]:
        """The slot waits for the promise's result, however long; None where it isn't free."""
        if not self._free or self._promise is not None:
            yield None
            return
        promise = self._promise = asyncio.get_running_loop().create_future()
        try:
            yield promise
        finally:
            if not promise.done():
                promise.set_result(None)
            self._bell.set()
