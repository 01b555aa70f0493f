"""Python 3.11's `asyncio.wait_for` as it is from 3.12 on: no cancel is lost in it.

The older one may return instead of being cancelled when both come in the same turn of the loop
(cpython #86296), and PyMongo sends every message through it: a task that was told to stop while it
asked the database went on for ever.
"""

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

import pymongo.lock

T = TypeVar("T")


async def wait_for(fut: Awaitable[T], timeout: float | None) -> T:
    if timeout is None or timeout > 0:
        async with asyncio.timeout(timeout):
            return await fut
    future = asyncio.ensure_future(fut)
    if not future.done():
        future.cancel()
        await asyncio.wait({future})
    if future.cancelled():
        raise TimeoutError
    return future.result()


def mend_wait_for() -> None:
    """For this process: for whoever asks asyncio for it, and for PyMongo's waiting in line."""
    if sys.version_info < (3, 12):
        asyncio.wait_for = wait_for  # type: ignore[assignment]
        vars(pymongo.lock)["wait_for"] = wait_for
