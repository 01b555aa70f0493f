"""The topics of the schema in -> the same topics, with the same settings, on the cluster."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from schemas.topics import Topic, replication
from services.broker import client_settings
from services.settings import KafkaSettings

log = structlog.get_logger()

DYNAMIC_TOPIC_CONFIG = 1  #: the source of a setting that someone gave this very topic


class TopicAdmin:
    """Creates and corrects topics; never takes partitions away."""

    def __init__(self, client: AIOKafkaAdminClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings) -> AsyncIterator[Self]:
        client = AIOKafkaAdminClient(**client_settings(settings), request_timeout_ms=15_000)
        try:
            await client.start()
            yield cls(client, settings.topic_prefix)
        finally:
            await client.close()

    async def ensure(self, topics: tuple[Topic, ...]) -> None:
        """Create what is missing, grow what has too few partitions, correct settings."""
        await self._create(topics)
        found = await self.replicas_of_partitions(topics)
        for topic in topics:
            name, replicas = self._prefix + topic.name, found[self._prefix + topic.name]
            if len(replicas) < topic.partitions:
                grown = {name: NewPartitions(total_count=topic.partitions)}
                await self._client.create_partitions(grown)
                log.info("topic_grown", topic=name, partitions=topic.partitions)
            elif len(replicas) > topic.partitions:  # someone scaled out: consumers take them all
                log.info("topic_has_more_partitions", topic=name, partitions=len(replicas))
            await self._correct(name, topic.config(min(replicas)))

    async def missing(self, topics: Sequence[Topic]) -> list[str]:
        """Which of them nobody has made yet, with their prefix."""
        existing = set(await self._client.list_topics())
        return [name for topic in topics if (name := self._prefix + topic.name) not in existing]

    async def settings_of(self, name: str) -> dict[str, str]:
        """What was set on this very topic, defaults left out; `name` with its prefix."""
        resource = ConfigResource(ConfigResourceType.TOPIC, name)
        (response,) = await self._client.describe_configs([resource])
        (error, message, _, _, entries) = response.resources[0][:5]
        if error:
            raise for_code(error)(message)
        return {entry[0]: entry[1] for entry in entries if entry[3] == DYNAMIC_TOPIC_CONFIG}

    async def replicas_of_partitions(self, topics: tuple[Topic, ...]) -> dict[str, list[int]]:
        """How many copies each partition has, by the topic's name with its prefix."""
        names = [self._prefix + topic.name for topic in topics]
        described: list[dict[str, Any]] = await self._client.describe_topics(names)
        for topic in described:
            if topic["error_code"]:  # just created: its leaders are not elected yet
                raise for_code(topic["error_code"])(topic["topic"])
        return {
            topic["topic"]: [len(partition["replicas"]) for partition in topic["partitions"]]
            for topic in described
        }

    async def _create(self, topics: tuple[Topic, ...]) -> None:
        brokers = len((await self._client.describe_cluster())["brokers"])
        copies = replication(brokers)
        missing = await self.missing(topics)
        wanted = [
            NewTopic(name, topic.partitions, copies, topic_configs=topic.config(copies))
            for topic in topics
            if (name := self._prefix + topic.name) in missing
        ]
        if not wanted:
            return
        response = await self._client.create_topics(wanted)
        for name, code, *details in response.topic_errors:
            if code and for_code(code) is not TopicAlreadyExistsError:
                raise for_code(code)(f"Could not create {name}: {details}")
            log.info("topic_created", topic=name)

    async def _correct(self, name: str, wanted: dict[str, str]) -> None:
        current = await self.settings_of(name)
        if current | wanted == current:
            return
        # the request replaces all settings of a topic, so what an operator added goes with it
        resource = ConfigResource(ConfigResourceType.TOPIC, name, current | wanted)
        (response,) = await self._client.alter_configs([resource])
        (error, message, *_) = response.resources[0]
        if error:
            raise for_code(error)(f"Could not set {name}: {message}")
        log.info("topic_corrected", topic=name, settings=sorted(wanted.items() - current.items()))
