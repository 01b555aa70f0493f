"""Wait for what must become true; nothing in the tests sleeps for a time of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE = 0.005  #: seconds between two looks


async def until(look: Callable[[], T], seconds: float = 40) -> T:
    """What `look` answers once that is truthy; `TimeoutError` when it never is."""
    async with asyncio.timeout(seconds):
        while not (answer := look()):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(PAUSE)
        return answer


async def until_answered(look: Callable[[], Awaitable[T]], seconds: float = 40) -> T:
    """As `until`, where looking takes an await."""
    async with asyncio.timeout(seconds):
        while not (answer := await look()):  # noqa: ASYNC110
            await asyncio.sleep(PAUSE)
        return answer
