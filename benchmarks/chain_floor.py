"""The least that fulfilling can cost: `python -m benchmarks.chain_floor work|project [BYTES]`.

`work`: a command in, a picture of BYTES put to S3, a document inserted, an event out.
`project`: an event in, the document that is polled updated out. Raw drivers, nothing else.
"""

import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.topics import GENERATION_COMMANDS, GENERATION_EVENTS, Topic
from services.broker import client_settings
from services.mongo import open_mongo
from services.object_store import S3ObjectStore
from services.settings import KafkaSettings, Settings

PREFIX = "bench/"  #: of the objects


async def work(settings: Settings, size: int) -> None:
    picture = secrets.token_bytes(size)
    async with (
        open_mongo(settings.mongo) as mongo,
        S3ObjectStore.open(settings.s3) as store,
        producing(settings.kafka) as producer,
        consuming(settings.kafka, GENERATION_COMMANDS) as consumer,
    ):
        print("ready", flush=True)
        async for record in consumer:
            job = UUID(record.key.decode())
            key = f"{PREFIX}{job}.png"
            await store.put(key, picture, "image/png", "0" * 64)
            await mongo.database["floor_rows"].insert_one({"_id": job, "event": record.value})
            await send(producer, settings.kafka, GENERATION_EVENTS, job, record.value)
            await store.delete(key)


async def project(settings: Settings) -> None:
    async with (
        open_mongo(settings.mongo) as mongo,
        consuming(settings.kafka, GENERATION_EVENTS) as consumer,
    ):
        print("ready", flush=True)
        async for record in consumer:
            await mongo.database["floor_jobs"].update_one(
                {"_id": UUID(record.key.decode())},
                {"$set": {"status": "succeeded", "event": record.value}},
                upsert=True,
            )


async def send(
    producer: Any,  # noqa: ANN401 - aiokafka has no types
    settings: KafkaSettings,
    topic: Topic,
    job: UUID,
    value: bytes,
) -> None:
    await producer.send_and_wait(settings.topic_prefix + topic.name, value, key=str(job).encode())


@asynccontextmanager
async def producing(settings: KafkaSettings) -> AsyncIterator[Any]:
    producer = AIOKafkaProducer(**client_settings(settings), acks="all", enable_idempotence=True)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def consuming(settings: KafkaSettings, topic: Topic) -> AsyncIterator[Any]:
    """All partitions from now on, without a group."""
    consumer = AIOKafkaConsumer(**client_settings(settings), fetch_max_wait_ms=50)
    await consumer.start()
    try:
        name = settings.topic_prefix + topic.name
        consumer.assign([TopicPartition(name, number) for number in range(topic.partitions)])
        await consumer.seek_to_end()
        for partition in consumer.assignment():
            await consumer.position(partition)  # the end is looked up now, not at the first poll
        yield consumer
    finally:
        await consumer.stop()


def main() -> None:
    role, *rest = sys.argv[1:]
    settings = Settings()
    uvloop.run(work(settings, int(rest[0])) if role == "work" else project(settings))


if __name__ == "__main__":
    main()
