"""A subscription's steps: nothing is committed before it was handled, nor what others may have."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, GroupAuthorizationFailedError, KafkaError

from schemas.topics import GENERATION_COMMANDS
from services import subscription
from services.settings import Settings
from services.subscription import Dealing, Subscription, only_our_cancels, subscribed
from services.watchdog import Watchdog
from tests.conditions import until

ONE, OTHER = TopicPartition("commands", 0), TopicPartition("commands", 1)


class Record:
    def __init__(self, offset: int) -> None:
        self.offset = offset


class Consumer:
    """Hands out two records of each partition a time; `committing` is what a commit does."""

    def __init__(self) -> None:
        self.positions = {ONE: 0, OTHER: 100}
        self.committed: dict[TopicPartition, int] = {}
        self.committing: Callable[[], Awaitable[None]] = self._at_once
        self.silent = False
        self.ends = dict(self.positions)

    async def _at_once(self) -> None:
        return

    async def getmany(self, **_limits: int) -> dict[TopicPartition, list[Record]]:
        if self.silent:
            return {}
        batch = {each: [Record(at), Record(at + 1)] for each, at in self.positions.items()}
        self.positions = {each: at + 2 for each, at in self.positions.items()}
        return batch

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        await self.committing()
        self.committed |= offsets

    def assignment(self) -> set[TopicPartition]:
        return set(self.positions)

    async def end_offsets(self, _partitions: object) -> dict[TopicPartition, int]:
        return self.ends

    async def position(self, partition: TopicPartition) -> int:
        return self.positions[partition]


class Handler:
    """Handles when it is let to; `met` is what the next batch meets."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.met: Exception | None = None
        self.batches: list[list[int]] = []
        self.committed_before: list[dict[TopicPartition, int]] = []
        self.ended = 0

    async def __call__(self, records: Sequence[Any]) -> None:
        self.batches.append([record.offset for record in records])
        await self.may_end.wait()
        if self.met is not None:
            met, self.met = self.met, None
            raise met
        self.committed_before.append(dict(self.consumer.committed))
        self.ended += 1


class Heard(Watchdog):
    def __init__(self) -> None:
        super().__init__(timedelta(minutes=1))
        self.times = 0

    def heard(self) -> None:
        self.times += 1


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.redelivery.LONGEST_PAUSE", 0)
    monkeypatch.setattr(subscription, "LINGER", 0.01)


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
def handler(consumer: Consumer) -> Handler:
    return Handler(consumer)


@pytest.fixture
def watchdog() -> Heard:
    return Heard()


@pytest.fixture
def member(consumer: Consumer, handler: Handler, watchdog: Heard) -> Subscription:
    return Subscription("commands", consumer, handler, watchdog)


async def test_offsets_are_committed_when_their_records_have_been_handled(
    consumer: Consumer, handler: Handler, member: Subscription
) -> None:
    await member.step()
    await member.step()

    assert handler.batches == [[0, 1, 100, 101], [2, 3, 102, 103]]
    assert handler.committed_before == [{}, {ONE: 2, OTHER: 102}]
    assert consumer.committed == {ONE: 4, OTHER: 104}


@pytest.mark.parametrize("met", [ValueError(), KafkaError(), TimeoutError()])
async def test_a_batch_whose_handling_raised_is_handled_again(
    consumer: Consumer, handler: Handler, member: Subscription, met: Exception
) -> None:
    handler.met = met
    await member.step()
    assert consumer.committed == {}

    await member.step()

    assert handler.batches == [[0, 1, 100, 101]] * 2
    assert consumer.committed == {ONE: 2, OTHER: 102}


@pytest.mark.parametrize("met", [None, ValueError()])
async def test_what_was_dealt_to_others_meanwhile_is_theirs(
    consumer: Consumer, handler: Handler, member: Subscription, met: Exception | None
) -> None:
    handler.may_end.clear()
    handler.met = met
    step = asyncio.create_task(member.step())
    await until(lambda: handler.batches)
    member.partitions_dealt()
    consumer.positions = {ONE: 50, OTHER: 150}  # the group's, after a rebalance
    handler.may_end.set()
    await step

    assert consumer.committed == {}
    await member.step()
    assert handler.batches[1] == [50, 51, 150, 151]
    assert consumer.committed == {ONE: 52, OTHER: 152}


async def test_what_is_dealt_to_others_as_it_is_handed_out_is_theirs(
    consumer: Consumer, member: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    getmany = consumer.getmany

    async def revoked_then(**limits: int) -> dict[TopicPartition, list[Record]]:
        asyncio.get_running_loop().call_soon(member.partitions_dealt)
        return await getmany(**limits)

    monkeypatch.setattr(consumer, "getmany", revoked_then)
    await member.step()

    assert consumer.committed == {}


async def test_what_comes_before_its_assignment_is_told_of_is_ours(
    consumer: Consumer, handler: Handler, member: Subscription
) -> None:
    handler.may_end.clear()
    dealing = Dealing(member)
    await dealing.on_partitions_revoked(set())
    step = asyncio.create_task(member.step())
    await until(lambda: handler.batches)
    await dealing.on_partitions_assigned({ONE, OTHER})
    handler.may_end.set()
    await step

    assert consumer.committed == {ONE: 2, OTHER: 102}


async def test_a_commit_is_not_repeated_after_a_rebalance(
    consumer: Consumer, handler: Handler, member: Subscription
) -> None:
    answer = asyncio.Event()

    async def unanswered() -> None:
        asked.set()
        await answer.wait()

    asked, consumer.committing = asyncio.Event(), unanswered
    step = asyncio.create_task(member.step())
    await asked.wait()
    member.partitions_dealt()
    answer.set()
    await step

    assert consumer.committed == {}


async def raising(error: Exception) -> None:
    raise error


async def test_a_commit_refused_because_of_a_rebalance_ends_nothing(
    consumer: Consumer, handler: Handler, member: Subscription
) -> None:
    consumer.committing = lambda: raising(CommitFailedError("dealing"))

    await member.step()

    assert handler.ended == 1
    assert consumer.committed == {}


async def test_any_other_refusal_ends_the_membership(
    consumer: Consumer, member: Subscription
) -> None:
    consumer.committing = lambda: raising(GroupAuthorizationFailedError("generator"))

    with pytest.raises(GroupAuthorizationFailedError):
        await member.step()


async def test_a_commit_that_nobody_answers_ends_the_membership(
    consumer: Consumer, member: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "PATIENCE", 0.01)
    consumer.committing = asyncio.Event().wait  # type: ignore[assignment]

    with pytest.raises(TimeoutError):
        await member.step()


async def test_who_ends_lets_the_batch_in_hand_be_handled_and_committed(
    consumer: Consumer, handler: Handler, member: Subscription
) -> None:
    handler.may_end.clear()
    step = asyncio.create_task(member.step())
    await until(lambda: handler.batches)
    step.cancel()
    await asyncio.wait([step])
    ending = asyncio.create_task(member.end())
    handler.may_end.set()
    await ending

    assert handler.ended == 1
    assert consumer.committed == {ONE: 2, OTHER: 102}


async def test_who_ends_does_not_wait_for_ever(
    consumer: Consumer, handler: Handler, member: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "GRACE", 0.01)
    handler.may_end.clear()
    step = asyncio.create_task(member.step())
    await until(lambda: handler.batches)
    step.cancel()
    await asyncio.wait([step])

    await member.end()

    assert handler.ended == 0
    assert consumer.committed == {}


async def test_who_waits_out_an_outage_is_not_stuck(
    handler: Handler, member: Subscription, watchdog: Heard
) -> None:
    handler.may_end.clear()
    step = asyncio.create_task(member.step())

    await until(lambda: watchdog.times > 3)

    handler.may_end.set()
    await step


async def test_a_coordination_that_cancels_itself_ends_the_membership_and_no_more(
    consumer: Consumer, member: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancelled(**_limits: int) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(consumer, "getmany", cancelled)

    with pytest.raises(KafkaError), only_our_cancels():
        await member.step()


async def test_a_cancel_of_ours_is_one() -> None:
    async def waiting() -> None:
        with only_our_cancels():
            await asyncio.Event().wait()

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_member_that_cannot_leave_in_peace_is_followed_by_another(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[object] = []

    @asynccontextmanager
    async def leaving_badly(*arguments: Any) -> AsyncIterator[Subscription]:
        joined.append(arguments)
        yield Subscription("commands", consumer, cast(Any, None), Heard())
        raise AssertionError("not left in the middle of a step")

    async def broken(_: Subscription) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(subscription, "joined", leaving_badly)
    monkeypatch.setattr(Subscription, "step", broken)
    following = asyncio.create_task(
        subscribed(Settings().kafka, GENERATION_COMMANDS, "group", cast(Any, None), Heard())
    )

    await until(lambda: len(joined) > 1)

    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following


async def test_a_broker_that_never_answers_ends_the_membership(
    consumer: Consumer, member: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "PATIENCE", 0.01)
    monkeypatch.setattr(consumer, "getmany", lambda **_limits: asyncio.Event().wait())

    with pytest.raises(TimeoutError):
        await member.step()


async def test_records_that_are_there_and_not_fetched_end_the_membership(
    consumer: Consumer, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes = itertools.count(1)
    monkeypatch.setattr(subscription, "monotonic", lambda: 60 * next(minutes))
    consumer.silent = True
    member = Subscription("commands", consumer, handler, Heard())
    await member.step()
    consumer.ends = {ONE: 1, OTHER: 100}
    await member.step()  # this one may have come between the two looks

    with pytest.raises(KafkaError):
        await member.step()
