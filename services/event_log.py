"""Kafka's topics in, their sizes and records out: read without a group, so nothing is moved."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError, UnknownTopicOrPartitionError

from schemas.common import Value
from schemas.topics import Topic
from services.broker import client_settings
from services.settings import KafkaSettings
from services.topic_admin import TopicAdmin

LINGER = 100  #: milliseconds that one look waits for records
BATCH = 2000  #: records
SILENCE = 60.0  #: seconds


class LogRecord(NamedTuple):
    """A message and its place; `topic` is without the prefix."""

    topic: str
    partition: int
    offset: int
    time: datetime
    key: bytes | None
    value: bytes


class Extent(Value):
    """How much of a topic there is."""

    partitions: int
    records: int  #: still kept
    ends: tuple[int, ...]  #: the next offset of each partition


class EventLog:
    """All partitions of some topics; raises one of `BROKER_OUTAGES`."""

    def __init__(self, consumer: Any, prefix: str) -> None:  # noqa: ANN401
        self._consumer = consumer  # aiokafka has no types
        self._prefix = prefix

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings, topics: Sequence[Topic]) -> AsyncIterator[Self]:
        """Raise `UnknownTopicOrPartitionError` for a topic that nobody has made yet."""
        async with TopicAdmin.open(settings) as admin:  # the consumer would wait 40 s for it
            if missing := await admin.missing(topics):
                raise UnknownTopicOrPartitionError(", ".join(missing))
        consumer = AIOKafkaConsumer(
            *(settings.topic_prefix + topic.name for topic in topics),
            **client_settings(settings),
            group_id=None,
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            yield cls(consumer, settings.topic_prefix)
        finally:
            await consumer.stop()

    async def extent(self, topic: Topic) -> Extent:
        name = self._prefix + topic.name
        places = sorted(place for place in self._consumer.assignment() if place.topic == name)
        starts = await self._consumer.beginning_offsets(places)
        ends = await self._consumer.end_offsets(places)
        return Extent(
            partitions=len(places),
            records=sum(ends[place] - starts[place] for place in places),
            ends=tuple(ends[place] for place in places),
        )

    async def kept(self) -> AsyncIterator[LogRecord]:
        """From the oldest that is kept to the present."""
        ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
        left = set(ends)
        while left := {place for place in left if await self._position(place) < ends[place]}:
            for record in await self._next(list(left)):
                yield record

    async def extents(self) -> dict[str, range]:
        """What is kept of each partition; names as the projector's offsets have them."""
        places = list(self._consumer.assignment())
        starts = await self._consumer.beginning_offsets(places)
        ends = await self._consumer.end_offsets(places)
        return {_name(place): range(starts[place], ends[place]) for place in places}

    async def between(self, wanted: Mapping[str, range]) -> AsyncIterator[list[LogRecord]]:
        """These offsets in batches, each partition in its order.

        Raises `KafkaTimeoutError` when nothing comes for a minute: aiokafka itself would go on.
        """
        ends = {}
        for place in self._consumer.assignment():
            if offsets := wanted.get(_name(place)):
                self._consumer.seek(place, offsets.start)
                ends[place] = offsets.stop
        heard = monotonic()
        while left := [place for place, end in ends.items() if await self._position(place) < end]:
            found = await self._consumer.getmany(*left, timeout_ms=LINGER, max_records=BATCH)
            records = [
                self._record(record)
                for place, come in found.items()
                for record in come
                if record.offset < ends[place]
            ]
            if found:
                heard = monotonic()
            elif monotonic() - heard > SILENCE:
                raise KafkaTimeoutError(f"{_name(left[0])} has records, yet none are fetched")
            if records:
                yield records

    async def record(self, topic: Topic, partition: int, offset: int) -> LogRecord | None:
        """The one at this place, unless it is gone or hasn't come yet."""
        place = TopicPartition(self._prefix + topic.name, partition)
        if place not in self._consumer.assignment():
            return None
        start = (await self._consumer.beginning_offsets([place]))[place]
        end = (await self._consumer.end_offsets([place]))[place]
        if not start <= offset < end:
            return None
        before = await self._position(place)
        self._consumer.seek(place, offset)
        found = self._record(await self._consumer.getone(place))
        self._consumer.seek(place, before)
        return found

    async def coming(self) -> AsyncIterator[LogRecord]:
        """From where `kept` has ended, or else from the present, for ever."""
        while True:
            for record in await self._next():
                yield record

    async def skip_kept(self) -> None:
        """Not `seek_to_end`: the first look for the earliest, still under way, would undo it."""
        ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
        for place, end in ends.items():
            self._consumer.seek(place, end)

    async def _position(self, place: Any) -> int:  # noqa: ANN401
        return int(await self._consumer.position(place))

    async def _next(self, places: Sequence[Any] = ()) -> list[LogRecord]:
        """In the order of their times, as far as they come together."""
        found = await self._consumer.getmany(*places, timeout_ms=LINGER)
        records = [self._record(record) for records in found.values() for record in records]
        return sorted(records, key=lambda record: record.time)

    def _record(self, record: Any) -> LogRecord:  # noqa: ANN401
        return LogRecord(
            topic=record.topic.removeprefix(self._prefix),
            partition=record.partition,
            offset=record.offset,
            time=datetime.fromtimestamp(record.timestamp / 1000, UTC),
            key=record.key,
            value=record.value or b"",
        )


def _name(place: Any) -> str:  # noqa: ANN401
    return f"{place.topic}:{place.partition}"
