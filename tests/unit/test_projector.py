"""The projector's steps: one batch is read ahead, and none is written after one that failed."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import cast

import pytest
from aiokafka import TopicPartition
from pymongo.errors import AutoReconnect

from services.projection_store import Applied, OffsetsMoved, ProjectionStore
from services.records import Reading, Record
from services.watchdog import Watchdog
from workers import projector as projector_module
from workers.projector import BATCH, Projector

PLACE = TopicPartition("events", 0)
FIRST, SECOND, THIRD = (Record("events:0", offset, b"not JSON") for offset in range(3))


Batch = dict[TopicPartition, list[Record]]


class Consumer:
    """Hands out one record a time, from where it was told to, and what came right after it."""

    def __init__(self) -> None:
        self.offset = 0
        self.right_after = 0

    def assignment(self) -> set[TopicPartition]:
        return {PLACE}

    def seek(self, _place: TopicPartition, offset: int) -> None:
        self.offset = offset

    async def getmany(
        self, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Record]]:
        count = min(self.right_after, max_records) if timeout_ms == 0 else 1
        offsets = range(self.offset, self.offset + count)
        self.offset += count
        return {PLACE: [Record("events:0", offset, b"not JSON") for offset in offsets]}


class Store:
    """Writes when it is let to; `met` is what the next write meets."""

    def __init__(self) -> None:
        self.may_write = asyncio.Event()
        self.met: Exception | None = None
        self.begun: list[Record] = []
        self.written: list[Record] = []
        self.stored = 0

    def forget(self) -> None:
        return

    async def positions(self, partitions: Iterable[str]) -> dict[str, int]:
        return dict.fromkeys(partitions, self.stored)

    async def apply(self, records: Sequence[Record], readings: Sequence[Reading]) -> Applied:
        assert len(records) == len(readings)
        self.begun += records
        await self.may_write.wait()
        if self.met is not None:
            met, self.met = self.met, None
            raise met
        self.written += records
        self.stored = records[-1].offset + 1
        return Applied(quarantined=len(records))


async def others_had_their_turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
def projector(store: Store, consumer: Consumer) -> Projector:
    return Projector(consumer, cast(ProjectionStore, store), Watchdog(timedelta(minutes=1)))


@pytest.fixture(autouse=True)
def gathers_no_longer_than_tests_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projector_module, "GATHER", 0.0)


async def test_a_batch_is_written_after_the_one_before(store: Store, projector: Projector) -> None:
    await projector.step()
    ahead = asyncio.create_task(projector.step())
    await others_had_their_turns()

    assert store.begun == [FIRST]
    store.may_write.set()
    await ahead
    await projector.written()
    assert store.written == [FIRST, SECOND]


@pytest.mark.parametrize("more", [2, BATCH])
async def test_what_comes_right_after_the_first_is_written_with_it(
    store: Store, projector: Projector, consumer: Consumer, more: int
) -> None:
    consumer.right_after = more
    store.may_write.set()

    await projector.step()
    await projector.written()

    assert len(store.written) == min(1 + more, BATCH)


async def test_what_was_read_ahead_of_a_failure_is_not_written(
    store: Store, projector: Projector
) -> None:
    store.met = AutoReconnect()
    store.may_write.set()
    await projector.step()

    with pytest.raises(AutoReconnect):
        await projector.step()

    await projector.written()
    assert store.begun == [FIRST]


async def test_what_was_read_ahead_of_moved_offsets_is_read_again_from_there(
    store: Store, projector: Projector
) -> None:
    store.met = OffsetsMoved()
    store.may_write.set()
    await projector.step()
    await projector.step()
    assert store.written == []

    store.stored = 2
    await projector.step()
    await projector.written()

    assert store.written == [THIRD]


async def test_what_is_being_written_is_stored_before_it_takes_another_place(
    store: Store, projector: Projector
) -> None:
    await projector.step()
    projector.partitions_dealt()
    step = asyncio.create_task(projector.step())
    await others_had_their_turns()

    assert store.begun == [FIRST]
    store.may_write.set()
    await step
    await projector.written()
    assert store.written == [FIRST, SECOND]


async def test_who_ends_leaves_no_write_behind(store: Store, projector: Projector) -> None:
    await projector.step()
    await asyncio.sleep(0)

    await projector.end()
    store.may_write.set()
    await asyncio.sleep(0)

    assert store.begun == [FIRST]
    assert store.written == []
