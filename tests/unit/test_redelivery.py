"""Outages are waited out, everything else is heard of, and nothing is a hot loop."""

import asyncio
import itertools
from datetime import timedelta

import pytest
from aiokafka.errors import KafkaConnectionError
from pymongo.errors import AutoReconnect, OperationFailure, ServerSelectionTimeoutError

from services import redelivery
from services.errors import NotFound, Unavailable
from services.redelivery import kept_up, paced, waited_out

OUTAGES = [
    AutoReconnect(),
    ServerSelectionTimeoutError(),
    KafkaConnectionError(),
    TimeoutError(),
    ConnectionResetError(),
    Unavailable(),
]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was paused each time; nobody really waits."""
    taken: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        taken.append(seconds)
        await sleep(0)

    monkeypatch.setattr("services.redelivery.asyncio.sleep", noted)
    return taken


class Work:
    """Raises `errors` one after the other, then is done and stays so."""

    def __init__(self, *errors: Exception, rounds: int = 1) -> None:
        self.errors = list(errors)
        self.done = 0
        self.rounds = rounds
        self.enough = asyncio.Event()

    async def __call__(self) -> int:
        if self.errors:
            raise self.errors.pop(0)
        self.done += 1
        if self.done == self.rounds:
            self.enough.set()
        return self.done

    async def again(self) -> None:
        await self()


async def test_every_outage_is_waited_out(pauses: list[float]) -> None:
    assert await waited_out(Work(*OUTAGES), "test") == 1
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]


async def test_pauses_stop_growing(pauses: list[float]) -> None:
    await waited_out(Work(*(AutoReconnect() for _ in range(10))), "test")

    assert pauses[-1] == redelivery.LONGEST_PAUSE


@pytest.mark.parametrize("error", [ValueError(), OperationFailure("no"), NotFound()])
async def test_what_is_no_outage_is_not_done_again(error: Exception, pauses: list[float]) -> None:
    with pytest.raises(type(error)):
        await waited_out(Work(error), "test")

    assert pauses == []


@pytest.mark.parametrize("error", [ValueError(), AutoReconnect()])
async def test_what_is_kept_up_survives_whatever_it_raises(
    error: Exception, pauses: list[float]
) -> None:
    work = Work(error, rounds=3)
    keeping = asyncio.create_task(kept_up(work.again, "test", timedelta(seconds=1)))

    async with asyncio.timeout(5):
        await work.enough.wait()

    keeping.cancel()
    assert pauses[0] >= 2
    assert set(pauses[1:]) <= {1.0}


async def test_what_breaks_after_it_went_well_for_long_is_begun_again_soon(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes = itertools.count(step=redelivery.LASTED + 1)
    monkeypatch.setattr(redelivery, "monotonic", lambda: next(minutes))
    work = Work(*(AutoReconnect() for _ in range(6)), rounds=7)
    keeping = asyncio.create_task(kept_up(work.again, "test", timedelta()))

    async with asyncio.timeout(5):
        await work.enough.wait()

    keeping.cancel()
    assert max(pauses) <= 2 * redelivery.FIRST_PAUSE


async def test_what_broke_is_raised_only_after_a_pause(pauses: list[float]) -> None:
    with pytest.raises(ValueError, match="a bug"):
        await paced(Work(ValueError("a bug")).again, "test")

    assert pauses == [redelivery.LONGEST_PAUSE]


async def test_what_works_is_not_slowed_down(pauses: list[float]) -> None:
    await paced(Work().again, "test")

    assert pauses == []
