"""A reader of a topic's new messages and a producer that has none of our code."""

import base64
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.topics import Topic
from services.dead_letters import Record as Message
from services.settings import Settings
from tests.conditions import until_answered


class TopicTail:
    """What has come since it was opened, each partition in its order."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self.seen: list[Message] = []

    async def until(self, enough: Callable[[list[Message]], object], seconds: float = 60) -> None:
        async def look() -> bool:
            await self.read()
            return bool(enough(self.seen))

        await until_answered(look, seconds)

    async def read(self) -> None:
        for messages in (await self._consumer.getmany(timeout_ms=50)).values():
            self.seen += messages

    def of(self, key: str) -> list[Message]:
        return [message for message in self.seen if message.key == key.encode()]


@asynccontextmanager
async def tail_of(stack: Settings, topic: Topic) -> AsyncIterator[TopicTail]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stack.kafka.bootstrap_servers, enable_auto_commit=False
    )
    async with consumer:
        name = stack.kafka.topic_prefix + topic.name
        places = [TopicPartition(name, number) for number in range(topic.partitions)]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        yield TopicTail(consumer)


@asynccontextmanager
async def stranger(stack: Settings) -> AsyncIterator[Any]:
    """Another service's producer: plain aiokafka."""
    producer = AIOKafkaProducer(
        bootstrap_servers=stack.kafka.bootstrap_servers, max_request_size=8 * 1024 * 1024
    )
    async with producer:
        yield producer


def strangers_command(project: str, *jobs: dict[str, Any], **attributes: Any) -> bytes:
    event = {
        "specversion": "1.0",
        "id": f"order-{uuid4()}",
        "source": "/shop",
        "type": "dev.darkroom.generation.requested.v1",
        "subject": "order 17",
        "projectid": project,
        "data": {"jobs": list(jobs)},
        **attributes,
    }
    return json.dumps(event, indent=1).encode()


def strangers_signature(value: bytes, key_id: str, secret: str) -> tuple[str, bytes]:
    mac = base64.b64encode(hmac.digest(secret.encode(), value, "sha256"))
    return ("darkroom-signature", key_id.encode() + b":" + mac)
