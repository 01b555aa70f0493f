"""Transactions and those who stop waiting for them."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from services.mongo import Mongo, Session
from services.settings import Settings
from tests.connected.queue_parts import own_database

pytestmark = pytest.mark.connected


@pytest.fixture
async def mongo(stack: Settings) -> AsyncIterator[Mongo]:
    async with own_database(stack) as mongo:
        yield mongo


async def test_whoever_is_cancelled_does_not_wait_for_a_server_that_is_away(mongo: Mongo) -> None:
    """The end of a transaction is told to the server, and a stopped one does not answer."""
    answered, ended = asyncio.Event(), asyncio.Event()

    async def work(session: Session) -> None:
        await mongo.queue.insert_one({"_id": "half"}, session=session)
        try:
            await asyncio.sleep(60)
        finally:
            await answered.wait()
            ended.set()

    began = monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await mongo.transaction(work)

    assert monotonic() - began < 5
    answered.set()
    await ended.wait()
    assert await mongo.queue.find_one({"_id": "half"}) is None


async def test_what_is_raised_in_a_transaction_reaches_its_caller(mongo: Mongo) -> None:
    async def work(session: Session) -> None:
        await mongo.queue.insert_one({"_id": "half"}, session=session)
        raise LookupError

    with pytest.raises(LookupError):
        await mongo.transaction(work)

    assert await mongo.queue.find_one({"_id": "half"}) is None
