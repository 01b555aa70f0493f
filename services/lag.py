"""Kafka and MongoDB in -> how far each consumer is behind, seen from outside of it."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import time
from typing import Any, Final, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from schemas.common import Value
from schemas.topics import GENERATION_COMMANDS, GENERATION_EVENTS, GENERATION_PROGRESS, Topic
from services.broker import client_settings
from services.mongo import Collection, Document, Mongo
from services.queue_depth import Depth, depths
from services.settings import KafkaSettings

GROUP: Final = "generator"  #: intake's
PROJECTED: Final = (GENERATION_EVENTS, GENERATION_PROGRESS)
COORDINATOR_WITHIN: Final = 10.0  #: seconds
OLDEST_WITHIN: Final = 1.0  #: seconds to fetch the oldest unread records

Places = Mapping[TopicPartition, int]  #: the offset to read next


class Lag(Value):
    """One consumer; `parts` says where the `behind` are: by topic, or by state."""

    name: str
    behind: int
    oldest_seconds: float | None  #: age of the oldest of them
    parts: dict[str, int]
    position: int = 0  #: of all its partitions together: it moves while the consumer lives


class _Extent(NamedTuple):
    starts: Places
    ends: Places


class KafkaLag:
    """Reads without a group of its own, so that it moves nothing. Raises `BROKER_OUTAGES`."""

    def __init__(self, consumer: Any, admin: Any, prefix: str) -> None:  # noqa: ANN401
        self._consumer = consumer  # aiokafka has no types
        self._admin = admin
        self._prefix = prefix

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings) -> AsyncIterator[Self]:
        given = client_settings(settings)
        consumer = AIOKafkaConsumer(
            **given,
            group_id=None,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=1,  # brokers still give one batch
        )
        admin = AIOKafkaAdminClient(**given, request_timeout_ms=10_000)
        try:
            await consumer.start()
            await admin.start()
            yield cls(consumer, admin, settings.topic_prefix)
        finally:
            await admin.close()
            await consumer.stop()

    async def intake(self) -> Lag:
        """By the offsets that the group has committed."""
        async with asyncio.timeout(COORDINATOR_WITHIN):
            stored = await self._committed()
        return await self._lag("intake", (GENERATION_COMMANDS,), stored)

    async def projector(self, mongo: Mongo) -> Lag:
        """By the offsets that are stored with the fold."""
        stored = {}
        async for kept in mongo.offsets.find():
            topic, _, number = kept["_id"].rpartition(":")
            stored[TopicPartition(topic, int(number))] = int(kept["offset"])
        return await self._lag("projector", PROJECTED, stored)

    async def members(self) -> int:
        """How many processes are in the intake's group."""
        (response,) = await self._admin.describe_consumer_groups([self._prefix + GROUP])
        return len(response.groups[0][5])

    async def _committed(self) -> Places:
        """A new cluster makes the topic of the groups' offsets when it is first asked for it."""
        while True:
            try:
                found = await self._admin.list_consumer_group_offsets(self._prefix + GROUP)
                return {place: committed.offset for place, committed in found.items()}
            except GroupCoordinatorNotAvailableError:
                await asyncio.sleep(0.1)

    async def _lag(self, name: str, topics: Sequence[Topic], stored: Places) -> Lag:
        extent = await self._extent(topics)
        at = {place: max(stored.get(place, 0), start) for place, start in extent.starts.items()}
        behind = {place: extent.ends[place] - offset for place, offset in at.items()}
        late = {place: at[place] for place, records in behind.items() if records > 0}
        parts = {topic.name: 0 for topic in topics}
        for place in late:
            parts[place.topic.removeprefix(self._prefix)] += behind[place]
        return Lag(
            name=name,
            behind=sum(parts.values()),
            oldest_seconds=await self._oldest_seconds(late) if late else None,
            parts=parts,
            position=sum(at.values()),
        )

    async def _extent(self, topics: Sequence[Topic]) -> _Extent:
        described = await self._admin.describe_topics([self._prefix + each.name for each in topics])
        places = [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in topic["partitions"]
        ]
        starts = await self._consumer.beginning_offsets(places)
        return _Extent(starts, await self._consumer.end_offsets(places))

    async def _oldest_seconds(self, late: Places) -> float | None:
        """None when their records do not come in time."""
        self._consumer.assign(list(late))
        for place, offset in late.items():
            self._consumer.seek(place, offset)
        oldest: float | None = None
        waiting = set(late)
        deadline = asyncio.get_running_loop().time() + OLDEST_WITHIN
        while waiting and asyncio.get_running_loop().time() < deadline:
            found = await self._consumer.getmany(*waiting, timeout_ms=100, max_records=1)
            for place, records in found.items():
                waiting.discard(place)
                age = time() - records[0].timestamp / 1000
                oldest = max(age, oldest or 0.0)
        self._consumer.unsubscribe()
        return oldest


async def outbox(mongo: Mongo) -> Lag:
    """Jobs whose command the broker has not acknowledged yet."""
    return await _unpublished("outbox", "jobs", mongo.jobs, {"published": False}, "created_at")


async def outcomes(mongo: Mongo) -> Lag:
    """Decided runs whose event the broker has not acknowledged yet."""
    decided = {"state": "done", "published": False}
    return await _unpublished("outcomes", "outcomes", mongo.queue, decided, "outcome.decided_at")


async def library(mongo: Mongo) -> Lag:
    """Events of libraries that the broker has not acknowledged yet."""
    return await _unpublished("library", "library", mongo.library_outbox, {}, "recorded_at")


def queue(found: Sequence[Depth]) -> Lag:
    """What waits for a GPU; the oldest is of those that are ready."""
    parts = {"ready": 0, "waiting": 0, "leased": 0}
    for depth in found:
        parts[depth.state] += depth.runs
    ready = [depth.oldest_seconds for depth in found if depth.state == "ready"]
    return Lag(
        name="queue",
        behind=sum(parts.values()),
        oldest_seconds=max(ready, default=None),
        parts=parts,
    )


async def in_mongo(mongo: Mongo) -> tuple[Lag, ...]:
    return await outbox(mongo), await outcomes(mongo), queue(await depths(mongo))


async def _unpublished(
    name: str,
    what: str,
    collection: Collection,
    wanted: Document,
    since: str,
) -> Lag:
    pipeline = [
        {"$match": wanted},
        {"$group": {"_id": None, "count": {"$sum": 1}, "oldest": {"$min": f"${since}"}}},
        {"$set": {"milliseconds": {"$subtract": ["$$NOW", "$oldest"]}}},
    ]
    found = [group async for group in await collection.aggregate(pipeline)]
    count = found[0]["count"] if found else 0
    oldest = found[0]["milliseconds"] / 1000 if found else None
    return Lag(name=name, behind=count, oldest_seconds=oldest, parts={what: count})
