"""A topic's records in, handled batch by batch; their offsets are committed when they have been."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from itertools import chain
from time import monotonic
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from schemas.topics import Topic
from services.broker import client_settings
from services.dead_letters import Record
from services.redelivery import kept_up, paced
from services.settings import KafkaSettings
from services.watchdog import Watchdog

log = structlog.get_logger()

Handle = Callable[[Sequence[Record]], Awaitable[None]]
Batch = Mapping[TopicPartition, Sequence[Record]]

BATCH: Final = 200  #: records
LINGER: Final = 1.0  #: seconds; records that come are handed out at once
PATIENCE: Final = 60.0  #: seconds that Kafka may be silent before there is another membership
#: In the middle of a batch, before a member's partitions are somebody else's. An outage is waited
#: out there, and a short one must move nothing; a member that alone cannot go on must not keep
#: them either. It joins again with its next fetch, so no outage makes a group deal in circles.
HANDLED_WITHIN: Final = timedelta(minutes=5)
GRACE: Final = 10.0  #: seconds for the batch in hand, of a process that is told to end
REFUSED: Final = (CommitFailedError, IllegalStateError)  #: the group is dealing partitions


class Subscription:
    """One member of a group: hands every record to `handle` until that has returned."""

    def __init__(self, name: str, consumer: Any, handle: Handle, watchdog: Watchdog) -> None:  # noqa: ANN401
        self._name = name
        self._consumer = consumer  # aiokafka has no types
        self._handle = handle
        self._watchdog = watchdog
        self._dealings = 0
        self._fetched_at = monotonic()
        self._overdue: Mapping[TopicPartition, int] = {}
        self._delivering: asyncio.Task[None] | None = None
        self._committing: asyncio.Future[None] | None = None

    def partitions_dealt(self) -> None:
        """What is in hand has another owner now, who may be further: nothing of it is committed.

        aiokafka would repeat an unanswered commit as a member of the next generation.
        """
        self._dealings += 1
        if self._committing is not None:
            self._committing.cancel()

    async def step(self) -> None:
        """Fetch a batch, see it handled, commit it. What is raised ends the membership."""
        async with asyncio.timeout(PATIENCE):
            batch: Batch = await self._consumer.getmany(
                timeout_ms=int(LINGER * 1000), max_records=BATCH
            )
            if not batch:
                await self._mind_silence()
        self._watchdog.heard()
        if not batch:
            return
        self._fetched_at, self._overdue = monotonic(), {}
        self._delivering = asyncio.create_task(self._deliver(batch, self._dealings))
        while not self._delivering.done():  # however long: an outage is no reason to be ended
            await asyncio.wait([self._delivering], timeout=LINGER)
            self._watchdog.heard()
        self._delivering.result()

    async def end(self) -> None:
        """What isn't handled in time is handed out again to whoever comes next."""
        if self._delivering is not None:
            await asyncio.wait([self._delivering], timeout=GRACE)
            self._delivering.cancel()
            await asyncio.gather(self._delivering, return_exceptions=True)

    async def _deliver(self, batch: Batch, dealings: int) -> None:
        records = list(chain.from_iterable(batch.values()))
        handling = paced(partial(self._handle, records), self._name)
        (raised,) = await asyncio.gather(handling, return_exceptions=True)
        if dealings != self._dealings:
            log.warning("partitions_dealt", records=len(records))
        elif raised is not None:
            self._go_back(batch)
        else:
            await self._commit(batch)

    def _go_back(self, batch: Batch) -> None:
        for partition, records in batch.items():
            self._consumer.seek(partition, records[0].offset)

    async def _commit(self, batch: Batch) -> None:
        """Refused, the batch is handed out again; `TimeoutError` where nobody answers."""
        offsets = {partition: records[-1].offset + 1 for partition, records in batch.items()}
        committing = self._committing = asyncio.ensure_future(self._consumer.commit(offsets))
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait([committing])
        finally:
            committing.cancel()
        if committing.cancelled() or isinstance(committing.exception(), REFUSED):
            log.warning("not_committed", partitions=len(offsets))
        else:
            committing.result()

    async def _mind_silence(self) -> None:
        """aiokafka's fetching may end without a word (#983): look twice whether there is more."""
        if monotonic() - self._fetched_at < PATIENCE:
            return
        partitions = list(self._consumer.assignment())
        ends = await self._consumer.end_offsets(partitions) if partitions else {}
        positions = {each: await self._consumer.position(each) for each in ends}
        overdue = {each: at for each, at in positions.items() if at < ends[each]}
        if stuck := overdue.items() & self._overdue.items():
            raise KafkaError(f"{len(stuck)} partitions have records, yet none are fetched")
        self._overdue = overdue
        if not overdue:
            self._fetched_at = monotonic()


class Dealing(ConsumerRebalanceListener):  # type: ignore[misc]
    """Only takes a note: what a listener awaits, the whole group waits for (aiokafka #335)."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._subscription.partitions_dealt()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Each dealing begins by revoking; what comes after that is of the new one."""


@asynccontextmanager
async def joined(
    settings: KafkaSettings, topic: Topic, group: str, handle: Handle, watchdog: Watchdog
) -> AsyncIterator[Subscription]:
    consumer = AIOKafkaConsumer(
        **client_settings(settings),
        group_id=settings.topic_prefix + group,
        # Sticky's members share a state (aiokafka #1175), and it never learns a generation (#1176)
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_interval_ms=int(HANDLED_WITHIN.total_seconds() * 1000),
        metadata_max_age_ms=30_000,
    )
    subscription = Subscription(topic.name, consumer, handle, watchdog)
    try:
        consumer.subscribe([settings.topic_prefix + topic.name], listener=Dealing(subscription))
        async with asyncio.timeout(PATIENCE):
            await consumer.start()
        yield subscription
    finally:
        await subscription.end()
        await consumer.stop()


async def subscribed(
    settings: KafkaSettings, topic: Topic, group: str, handle: Handle, watchdog: Watchdog
) -> None:
    """For ever: a membership that breaks, or meets a silent broker, is followed by another."""

    async def member() -> None:
        watchdog.heard()
        with only_our_cancels():
            async with joined(settings, topic, group, handle, watchdog) as subscription:
                while True:
                    await subscription.step()

    await kept_up(member, topic.name, timedelta())


@contextmanager
def only_our_cancels() -> Iterator[None]:
    """aiokafka's coordination may cancel itself, when a member that is late hears of a rebalance or
    leaves; `getmany` and `stop` raise that, though nobody has cancelled us."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise KafkaError("the coordination of the group has ended") from None
