"""A task that is told to stop stops, in whichever turn of the loop that happens."""

import asyncio
from contextlib import suppress

import pymongo.lock
import pytest

from services.cancellation import mend_wait_for

LATER = 60.0  #: seconds


async def asking() -> None:
    """As PyMongo sends a message: what is waited for is over at once."""

    async def write() -> None:
        pass

    await asyncio.wait_for(write(), LATER)
    await asyncio.sleep(LATER)


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancel_in_any_turn_of_the_loop_is_heard(turns: int) -> None:
    mend_wait_for()
    task = asyncio.create_task(asking())
    for _ in range(turns):
        await asyncio.sleep(0)

    task.cancel()

    with suppress(asyncio.CancelledError):
        async with asyncio.timeout(1):
            await task
    assert task.cancelled()


def test_pymongo_waits_in_line_with_the_same_one() -> None:
    mend_wait_for()

    assert vars(pymongo.lock)["wait_for"] is asyncio.wait_for


async def test_it_still_ends_what_takes_too_long() -> None:
    mend_wait_for()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.sleep(LATER), 0.01)


@pytest.mark.parametrize("timeout", [0, -1])
async def test_a_time_that_is_over_ends_it_before_it_begins(timeout: int) -> None:
    mend_wait_for()
    begun = []

    async def begin() -> None:
        begun.append(timeout)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(begin(), timeout)
    assert begun == []
