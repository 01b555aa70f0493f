"""Calls that travel together: each gets its own answer, and none an older one."""

import asyncio
from collections.abc import Sequence

import pytest

from services.batching import LARGEST, Batched


class Line:
    """A trip that starts when it is told to, and notes who was on it."""

    def __init__(self) -> None:
        self.trips: list[list[int]] = []
        self.left: asyncio.Queue[None] = asyncio.Queue()
        self.go = asyncio.Semaphore(0)
        self.failure: Exception | None = None

    async def __call__(self, numbers: Sequence[int]) -> Sequence[str | Exception]:
        self.trips.append(list(numbers))
        self.left.put_nowait(None)
        await self.go.acquire()
        if self.failure:
            raise self.failure
        return [ValueError(number) if number < 0 else str(number) for number in numbers]


async def test_calls_during_a_trip_share_the_next_one() -> None:
    line = Line()
    batched = Batched(line)
    first = asyncio.create_task(batched(1))
    await line.left.get()
    others = [asyncio.create_task(batched(number)) for number in (2, 3, 4)]
    line.go.release()
    line.go.release()

    answers = await asyncio.gather(first, *others)

    assert answers == ["1", "2", "3", "4"]
    assert line.trips == [[1], [2, 3, 4]]


async def test_a_call_never_joins_a_trip_that_has_left() -> None:
    line = Line()
    batched = Batched(line)
    first = asyncio.create_task(batched(1))
    await line.left.get()
    same = asyncio.create_task(batched(1))
    line.go.release()
    await first

    assert not same.done()
    line.go.release()
    assert await same == "1"
    assert line.trips == [[1], [1]]


async def test_an_error_of_one_is_no_other_s() -> None:
    line = Line()
    batched = Batched(line)
    line.go.release()

    good, bad = await asyncio.gather(batched(1), batched(-1), return_exceptions=True)

    assert good == "1"
    assert isinstance(bad, ValueError)


async def test_a_trip_that_fails_fails_for_all_on_it_and_the_next_goes_on() -> None:
    line = Line()
    batched = Batched(line)
    line.failure = ConnectionError("away")
    line.go.release()

    answers = await asyncio.gather(batched(1), batched(2), return_exceptions=True)
    line.failure = None
    line.go.release()

    assert [type(answer) for answer in answers] == [ConnectionError, ConnectionError]
    assert await batched(3) == "3"


async def test_who_gives_up_waiting_takes_nobody_along() -> None:
    line = Line()
    batched = Batched(line)
    first, leaving, staying = (asyncio.create_task(batched(number)) for number in (1, 2, 3))
    await line.left.get()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    line.go.release()

    assert list(await asyncio.gather(first, staying)) == ["1", "3"]


async def test_no_trip_is_larger_than_the_limit() -> None:
    line = Line()
    batched = Batched(line)
    for _ in range(3):
        line.go.release()

    await asyncio.gather(*(batched(number) for number in range(LARGEST * 2 + 1)))

    assert [len(trip) for trip in line.trips] == [LARGEST, LARGEST, 1]


async def test_as_many_trips_at_once_as_are_allowed() -> None:
    line = Line()
    batched = Batched(line, at_once=2)
    calls = []
    for number in (1, 2):
        calls.append(asyncio.create_task(batched(number)))
        await line.left.get()
    calls.append(asyncio.create_task(batched(3)))

    assert line.trips == [[1], [2]]
    for _ in calls:
        line.go.release()
    assert await asyncio.gather(*calls) == ["1", "2", "3"]
