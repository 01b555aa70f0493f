"""Calls that come while one is under way travel together in the next: one round trip for many.

Nobody is answered from before he asked: a call always waits for a trip that starts after it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")

LARGEST: Final = 200  #: calls in one trip

Trip = Callable[[Sequence[A]], Awaitable[Sequence[R | Exception]]]


class Batched(Generic[A, R]):
    """`trip` gets the arguments of many calls and returns, in their order, results or errors."""

    def __init__(self, trip: Trip[A, R], *, at_once: int = 1) -> None:
        self._trip = trip
        self._at_once = at_once
        self._waiting: list[tuple[A, asyncio.Future[R]]] = []
        self._trips: set[asyncio.Task[None]] = set()

    async def __call__(self, argument: A) -> R:
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((argument, answer))
        if len(self._trips) < self._at_once:
            self._trips.add(asyncio.create_task(self._travel()))
        return await answer

    async def _travel(self) -> None:
        try:
            while self._waiting:
                calls, self._waiting = self._waiting[:LARGEST], self._waiting[LARGEST:]
                if asked := [call for call in calls if not call[1].cancelled()]:
                    await self._serve(asked)
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._trips.discard(task)

    async def _serve(self, calls: Sequence[tuple[A, asyncio.Future[R]]]) -> None:
        try:
            results = await self._trip([argument for argument, _ in calls])
        except Exception as error:  # it is every caller's, and not lost with this task
            results = [error] * len(calls)
        for (_, answer), result in zip(calls, results, strict=True):
            if answer.cancelled():
                continue
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)
