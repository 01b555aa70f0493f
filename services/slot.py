"""A worker's free place: intake leases to it what it writes, and nobody has to look for it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, Self, TypeVar

from services.queue import Lease, Queue

T = TypeVar("T")
Accepted = asyncio.Future[None]  #: of a run, by the stream; nothing is told of it before
ACCEPTED_WITHIN: Final = 5.0  #: seconds; longer, and a lease that nobody renews might expire


class Turn(NamedTuple):
    """A run for this worker; its lease may still be on its way to the queue."""

    lease: Lease
    leased: asyncio.Future[Accepted | None]  #: None where somebody else was quicker

    @classmethod
    def claimed(cls, lease: Lease) -> Self:
        return cls(lease, done(done(None)))

    async def confirmed(self) -> Accepted | None:
        """Return once the lease is this worker's; None where it isn't."""
        await asyncio.wait({self.leased})
        if self.leased.cancelled() or self.leased.exception():  # intake hears of it too
            return None
        return self.leased.result()


def done(result: T) -> asyncio.Future[T]:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future


async def give_back(turn: Turn, queue: Queue) -> None:
    """Uncounted, when its worker is about to stop; whoever claims the run tells of it at once."""
    if (accepted := await turn.confirmed()) is not None:
        await asyncio.wait({accepted}, timeout=ACCEPTED_WITHIN)
        await queue.release(turn.lease)


Promise = asyncio.Future[Turn | None]


class Slot:
    """Free while its worker has found nothing in the queue and waits."""

    def __init__(self) -> None:
        self._bell = asyncio.Event()
        self._free = False
        self._promise: Promise | None = None
        self._left: Turn | None = None

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
            if self._promise is not None and not self._promise.cancel():
                self._left = self._promise.result()
            raise
        finally:
            self._free = False

    def left(self, turn: Turn) -> bool:
        """Whether the worker was stopped before it could take what it had been promised."""
        return turn is self._left

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
