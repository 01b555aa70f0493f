"""generation.events and generation.progress in; what is polled out, each event folded once."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import structlog
import uvloop
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

from schemas.topics import GENERATION_EVENTS, GENERATION_PROGRESS
from services import heap, metrics, telemetry
from services.broker import client_settings
from services.mongo import open_mongo
from services.projection_store import OffsetsMoved, ProjectionStore
from services.records import Reading, Record, read_all
from services.redelivery import kept_up, waited_out
from services.settings import KafkaSettings, Settings
from services.watchdog import Watchdog

log = structlog.get_logger()

BATCH: Final = 2000  #: records
LINGER: Final = 500  #: milliseconds that a fetch waits for records; those that come end it
GATHER: Final = 0.1  #: seconds that the first of a batch waits for more: outcomes are shown already
WRITE_WITHIN: Final = 30.0  #: seconds; the driver alone would try for 120
PATIENCE: Final = timedelta(seconds=60)


class Projector:
    """One member of the group: folds its partitions from their stored offsets onwards."""

    def __init__(self, consumer: Any, store: ProjectionStore, watchdog: Watchdog) -> None:  # noqa: ANN401
        self._consumer = consumer  # aiokafka has no types
        self._store = store
        self._watchdog = watchdog
        self._in_place = False  #: the consumer stands where the stored offsets say
        self._fetched_at = time.monotonic()
        self._writing: asyncio.Task[None] | None = None

    def partitions_dealt(self) -> None:
        self._in_place = False

    async def step(self) -> None:
        """Fetch and read a batch while the one before is written, then begin to write it.

        Whatever is raised, by either, is the end: another starts from what is stored.
        """
        if not self._in_place:
            await self.written()
            await self._take_place()
        records = _records(await self._consumer.getmany(timeout_ms=LINGER, max_records=BATCH))
        if 0 < len(records) < BATCH:
            await asyncio.sleep(GATHER)
            left = BATCH - len(records)
            records += _records(await self._consumer.getmany(timeout_ms=0, max_records=left))
        self._watchdog.heard()
        readings = await read_all(records)
        await self.written()
        if not records:
            await self._mind_silence()
        elif self._in_place:  # else it was fetched from another place
            self._fetched_at = time.monotonic()
            self._writing = asyncio.create_task(self._write(records, readings))

    async def written(self) -> None:
        """Return when nothing is being written; raise what the last batch met."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            await writing

    async def end(self) -> None:
        """What is half written is folded again by the next."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _take_place(self) -> None:
        self._in_place = True  # unless partitions are dealt meanwhile
        self._store.forget()
        assigned = {_name(partition): partition for partition in self._consumer.assignment()}
        for name, offset in (await self._store.positions(assigned)).items():
            if self._in_place:
                self._consumer.seek(assigned[name], offset)

    async def _write(self, records: Sequence[Record], readings: Sequence[Reading]) -> None:
        try:
            async with asyncio.timeout(WRITE_WITHIN):
                applied = await self._store.apply(records, readings)
        except OffsetsMoved:
            moved = sorted({record.partition for record in records})
            log.warning("offsets_moved", partitions=moved)
            self._in_place = False
        else:
            metrics.projected(**applied.model_dump())
            log.debug("projected", **applied.model_dump())

    async def _mind_silence(self) -> None:
        """aiokafka's fetching may end without a word (#983): look whether there is more."""
        if time.monotonic() - self._fetched_at < PATIENCE.total_seconds():
            return
        self._fetched_at = time.monotonic()
        partitions = list(self._consumer.assignment())
        ends = await self._consumer.end_offsets(partitions) if partitions else {}
        for partition, end in ends.items():
            if await self._consumer.position(partition) < end:
                raise KafkaError(f"{_name(partition)} has records, yet none are fetched")


class Dealing(ConsumerRebalanceListener):  # type: ignore[misc]
    """Only takes a note: what a listener awaits, the whole group waits for (aiokafka #335)."""

    def __init__(self, projector: Projector) -> None:
        self._projector = projector

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._projector.partitions_dealt()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._projector.partitions_dealt()


@asynccontextmanager
async def joined(
    settings: KafkaSettings, store: ProjectionStore, watchdog: Watchdog
) -> AsyncIterator[Projector]:
    """Range deals equal numbers of both topics to the same member, so that members seldom
    write the same job; offsets are kept with the fold, never committed to Kafka."""
    consumer = AIOKafkaConsumer(
        **client_settings(settings),
        group_id=f"{settings.topic_prefix}projector",
        partition_assignment_strategy=(RangePartitionAssignor,),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=6_000,  # the least that brokers allow: how long a dead member is missed
        heartbeat_interval_ms=1_500,
        max_poll_interval_ms=86_400_000,  # the watchdog and the offsets see to that
        metadata_max_age_ms=30_000,
        fetch_max_wait_ms=LINGER,
    )
    projector = Projector(consumer, store, watchdog)
    try:
        topics = [settings.topic_prefix + topic.name for topic in FOLLOWED]
        consumer.subscribe(topics, listener=Dealing(projector))
        await consumer.start()
        yield projector
    finally:
        await projector.end()
        await consumer.stop()


async def project(settings: Settings, watchdog: Watchdog) -> None:
    """For ever: any outage ends the membership, and after a pause there is another."""

    async def follow() -> None:
        watchdog.heard()
        async with joined(settings.kafka, store, watchdog) as projector:
            while True:
                await projector.step()

    async with open_mongo(settings.mongo) as mongo:
        store = ProjectionStore(mongo)
        await waited_out(store.feed_quarantine, "mongo")
        await kept_up(follow, "projector", timedelta())


async def main() -> None:
    settings = Settings()
    telemetry.configure(settings, "projector")
    metrics.serve(settings.metrics)
    heap.settle()
    watchdog = Watchdog(PATIENCE)
    watchdog.start()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    projecting = asyncio.create_task(project(settings, watchdog))
    await stopped.wait()
    projecting.cancel()
    await asyncio.wait([projecting])


FOLLOWED: Final = (GENERATION_EVENTS, GENERATION_PROGRESS)


def _records(batch: dict[TopicPartition, list[Any]]) -> list[Record]:
    records: list[Record] = []
    for partition, found in batch.items():
        name = _name(partition)
        records += (Record(name, record.offset, record.value or b"") for record in found)
    return records


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}:{partition.partition}"


if __name__ == "__main__":
    uvloop.run(main())
