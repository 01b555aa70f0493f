"""A group's members on a real Kafka: what was not handled comes again, no offset goes back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import GENERATION_COMMANDS
from services import subscription
from services.broker import Publisher, client_settings
from services.dead_letters import Record
from services.settings import Settings
from services.subscription import subscribed
from services.watchdog import Watchdog
from tests.conditions import until, until_answered
from tests.connected.own_stack import own_stack

pytestmark = pytest.mark.connected

GROUP = "test"
RECORDS = 50


class Steps(Watchdog):
    """How often a loop has come round."""

    def __init__(self) -> None:
        super().__init__(timedelta(minutes=5))
        self.taken = 0

    def heard(self) -> None:
        self.taken += 1


class Member:
    """Takes note of what it handles, once it may."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.met: Exception | None = None
        self.begun: list[bytes] = []
        self.handled: list[bytes] = []
        self.handled_at = 0.0
        self.steps = Steps()

    async def __call__(self, records: Sequence[Record]) -> None:
        values = [record.value or b"" for record in records]
        self.begun += values
        if self.met is not None:
            met, self.met = self.met, None
            raise met
        await self.may_go_on.wait()
        self.handled += values
        self.handled_at = monotonic()

    def has_handled(self, *values: bytes) -> bool:
        return set(values) <= set(self.handled)


class Topic:
    """`generation.commands` of this test alone, and how far its group has committed."""

    def __init__(self, settings: Settings, publisher: Publisher, admin: Any) -> None:
        self._settings = settings
        self._publisher = publisher
        self._admin = admin
        self._sent = 0

    async def send(self, count: int = RECORDS) -> list[bytes]:
        values = [str(number).encode() for number in range(self._sent, self._sent + count)]
        self._sent += count
        for value in values:
            await self._publisher.publish(GENERATION_COMMANDS, value.decode(), value)
        return values

    @asynccontextmanager
    async def member(self, handle: Member) -> AsyncIterator[None]:
        settings = self._settings.kafka
        task = asyncio.create_task(
            subscribed(settings, GENERATION_COMMANDS, GROUP, handle, handle.steps)
        )
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def committed(self) -> dict[TopicPartition, int]:
        group = self._settings.kafka.topic_prefix + GROUP
        stored = await self._admin.list_consumer_group_offsets(group)
        return {place: kept.offset for place, kept in stored.items()}

    async def members(self) -> int:
        group = self._settings.kafka.topic_prefix + GROUP
        (response,) = await self._admin.describe_consumer_groups([group])
        return len(response.groups[0][5])

    async def all_committed(self) -> bool:
        return sum((await self.committed()).values()) == self._sent


@pytest.fixture
async def topic(stack: Settings) -> AsyncIterator[Topic]:
    settings = await own_stack(stack)
    admin = AIOKafkaAdminClient(**client_settings(settings.kafka))
    await admin.start()
    try:
        async with Publisher.open(settings.kafka) as publisher:
            yield Topic(settings, publisher, admin)
    finally:
        await admin.close()


async def test_what_raised_is_handled_again_and_committed_then(
    topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.redelivery.LONGEST_PAUSE", 0)
    sent = await topic.send()
    member = Member()
    member.met = ValueError("a bug")
    member.may_go_on.clear()

    async with topic.member(member):
        await until(lambda: len(member.begun) > len(set(member.begun)))
        assert sum((await topic.committed()).values()) == 0
        member.may_go_on.set()
        await until_answered(topic.all_committed)

    assert sorted(member.handled) == sorted(sent), "handled to the end once"


async def test_the_next_member_goes_on_where_the_last_one_ended(topic: Topic) -> None:
    first, second = Member(), Member()
    sent = await topic.send()
    async with topic.member(first):
        await until(lambda: first.has_handled(*sent))

    news = await topic.send()
    async with topic.member(second):
        await until(lambda: second.has_handled(*news))

    assert sorted(second.handled) == sorted(news)


async def test_who_has_nothing_to_do_does_not_spin_and_begins_at_once(topic: Topic) -> None:
    member = Member()
    async with topic.member(member):
        (sent,) = await topic.send(1)
        await until(lambda: member.has_handled(sent))

        before, began = member.steps.taken, monotonic()
        await until(lambda: monotonic() - began > 2)
        assert member.steps.taken - before <= 3

        news, began = await topic.send(12), monotonic()
        await until(lambda: member.has_handled(*news))
        assert member.handled_at - began < subscription.LINGER / 2


@pytest.mark.parametrize("has_left", [True, False], ids=["has left", "hears of a rebalance"])
async def test_a_member_that_is_late_takes_nothing_back(
    topic: Topic, has_left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has in hand is handled by another, who gets further before the late one is done."""

    async def nobody_there() -> bool:
        return await topic.members() == 0

    late, other = Member(), Member()
    late.may_go_on.clear()
    sent = await topic.send()
    monkeypatch.setattr(subscription, "HANDLED_WITHIN", timedelta(seconds=1))
    async with topic.member(late):
        await until(lambda: late.begun)
        if has_left:
            await until_answered(nobody_there)
        monkeypatch.setattr(subscription, "HANDLED_WITHIN", timedelta(minutes=5))
        async with topic.member(other):
            await until(lambda: other.has_handled(*sent))
            news = await topic.send()
            await until(lambda: other.has_handled(*news))
            await until_answered(topic.all_committed)
        reached = await topic.committed()

        late.may_go_on.set()
        await until(lambda: late.handled)
        latest = await topic.send()
        await until(lambda: late.has_handled(*latest))
        await until_answered(topic.all_committed)

    assert set(late.handled) & set(news) == set(), "the other's offsets were kept"
    assert sum(reached.values()) == len(sent) + len(news)
