"""The projector on a real Kafka and mongod: what was published is polled, whoever dies."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.cloudevents import CloudEvent
from schemas.events import GenerationProgress
from schemas.jobs import Job, Status
from schemas.topics import GENERATION_EVENTS, GENERATION_PROGRESS
from services.broker import Publisher, client_settings
from services.migration import migrate
from services.mongo import Mongo, open_mongo
from services.settings import Settings
from services.watchdog import Watchdog
from tests.conditions import until_answered
from tests.connected.projection_parts import completed, insert_job, life, stored_job
from workers.projector import project

pytestmark = pytest.mark.connected


@pytest.fixture(scope="module")
async def settings(stack: Settings) -> Settings:
    """Topics and a database that no other test uses."""
    name = f"test-{uuid4().hex}"
    kafka = stack.kafka.model_copy(update={"topic_prefix": f"{name}."})
    mongo = stack.mongo.model_copy(update={"database": name})
    own = stack.model_copy(update={"kafka": kafka, "mongo": mongo})
    await migrate(own)
    return own


@pytest.fixture(scope="module")
async def mongo(settings: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(settings.mongo) as mongo:
        yield mongo


@pytest.fixture(scope="module")
async def publisher(settings: Settings) -> AsyncIterator[Publisher]:
    async with Publisher.open(settings.kafka) as publisher:
        yield publisher


@asynccontextmanager
async def projecting(settings: Settings) -> AsyncIterator[None]:
    task = asyncio.create_task(project(settings, Watchdog(timedelta(minutes=5))))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def projector_process(settings: Settings) -> AsyncIterator[Process]:
    """As the supervisor runs it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "workers.projector",
        env={
            "DARKROOM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "DARKROOM_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
            "DARKROOM_MONGO__URL": settings.mongo.url.get_secret_value(),
            "DARKROOM_MONGO__DATABASE": settings.mongo.database,
        },
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def publish(publisher: Publisher, *events: CloudEvent) -> None:
    for event in events:
        topic = GENERATION_PROGRESS if isinstance(event, GenerationProgress) else GENERATION_EVENTS
        assert event.subject is not None
        await publisher.publish(topic, event.subject, event.encode())


async def until_succeeded(mongo: Mongo, *jobs: Job) -> None:
    ids = [job.id for job in jobs]
    wanted = {"_id": {"$in": ids}, "state.status": "succeeded"}

    async def all_there() -> bool:
        return await mongo.jobs.count_documents(wanted) == len(ids)

    await until_answered(all_there, 30)


async def until_all_is_read(mongo: Mongo, settings: Settings) -> None:
    """Until the stored offsets are those of the log's end."""
    consumer = AIOKafkaConsumer(**client_settings(settings.kafka))
    await consumer.start()
    try:
        partitions = [
            TopicPartition(settings.kafka.topic_prefix + topic.name, number)
            for topic in (GENERATION_EVENTS, GENERATION_PROGRESS)
            for number in range(topic.partitions)
        ]
        ends = await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()
    expected = {f"{at.topic}:{at.partition}": end for at, end in ends.items()}

    async def all_read() -> bool:
        stored = mongo.offsets.find({"_id": {"$in": list(expected)}})
        return {kept["_id"]: kept["offset"] async for kept in stored} == expected

    await until_answered(all_read, 30)


async def test_published_events_are_polled_and_the_offsets_are_stored(
    settings: Settings, mongo: Mongo, publisher: Publisher
) -> None:
    jobs = [await insert_job(mongo) for _ in range(20)]

    async with projecting(settings):
        for job in jobs:
            await publish(publisher, *life(job))
        await until_succeeded(mongo, *jobs)
        await until_all_is_read(mongo, settings)

    polled = await stored_job(mongo, jobs[0].id)
    assert polled.output is not None


async def test_what_was_published_while_it_was_away_is_folded_when_it_is_back(
    settings: Settings, mongo: Mongo, publisher: Publisher
) -> None:
    job = await insert_job(mongo)
    await publish(publisher, *life(job))

    async with projecting(settings):
        await until_succeeded(mongo, job)


async def test_two_share_the_partitions_and_every_job_ends(
    settings: Settings, mongo: Mongo, publisher: Publisher
) -> None:
    jobs = [await insert_job(mongo) for _ in range(40)]

    async with projecting(settings):
        for job in jobs[:20]:
            await publish(publisher, *life(job))
        async with projecting(settings):  # joins while the other works
            for job in jobs[20:]:
                await publish(publisher, *life(job))
            await until_succeeded(mongo, *jobs)
        late = await insert_job(mongo)  # the other takes all over again
        await publish(publisher, *life(late))
        await until_succeeded(mongo, late)
        await until_all_is_read(mongo, settings)


async def test_an_unreadable_message_delays_nothing(
    settings: Settings, mongo: Mongo, publisher: Publisher
) -> None:
    job = await insert_job(mongo)
    await publisher.publish(GENERATION_EVENTS, str(job.id), b"not JSON")
    await publish(publisher, completed(job))

    async with projecting(settings):
        await until_succeeded(mongo, job)

    kept = await mongo.quarantine.find_one({"value": b"not JSON"})
    assert kept is not None
    assert kept["_id"].startswith(f"{settings.kafka.topic_prefix}{GENERATION_EVENTS.name}:")


async def test_offsets_that_somebody_else_moved_are_followed(
    settings: Settings, mongo: Mongo, publisher: Publisher
) -> None:
    """As after a restore of the database: what is stored counts, not what was in memory."""
    jobs = [await insert_job(mongo) for _ in range(2)]

    async with projecting(settings):
        await publish(publisher, *life(jobs[0]))
        await until_succeeded(mongo, jobs[0])
        await until_all_is_read(mongo, settings)
        await mongo.offsets.update_many({}, {"$set": {"offset": 0}})
        await mongo.jobs.update_one(
            {"_id": jobs[0].id}, {"$set": {"state": {"status": "pending", "runs": {}}}}
        )
        await publish(publisher, *life(jobs[1]))
        await until_succeeded(mongo, jobs[1])

    async with projecting(settings):  # partitions that had no new record were not missed
        await until_succeeded(mongo, *jobs)


async def test_a_killed_projector_loses_and_repeats_nothing(
    settings: Settings, mongo: Mongo, publisher: Publisher
) -> None:
    jobs = [await insert_job(mongo) for _ in range(30)]

    async with projector_process(settings) as process:
        for job in jobs[:20]:
            await publish(publisher, *life(job))
        await until_succeeded(mongo, jobs[0])
        process.kill()
        await process.wait()
    for job in jobs[20:]:
        await publish(publisher, *life(job))
    async with projector_process(settings):
        await until_succeeded(mongo, *jobs)
        await until_all_is_read(mongo, settings)

    ended = [(await stored_job(mongo, job.id)).current for job in jobs]
    assert all(run.status is Status.SUCCEEDED and run.attempt == 1 for run in ended)
    assert await mongo.images.count_documents({"job_id": {"$in": [job.id for job in jobs]}}) == 30


async def test_a_projector_that_is_told_to_stop_leaves_cleanly(
    settings: Settings, mongo: Mongo, publisher: Publisher
) -> None:
    job = await insert_job(mongo)
    await publish(publisher, *life(job))

    async with projector_process(settings) as process:
        await until_succeeded(mongo, job)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
