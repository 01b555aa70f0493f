"""A running stack in -> a database and topics of our own on it, gone afterwards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

from aiokafka.admin import AIOKafkaAdminClient

from compose.embedded.apps import python
from compose.embedded.parts import Command
from schemas.common import Value
from schemas.topics import TOPICS
from services.accounts import Keys
from services.broker import client_settings
from services.migration import migrate
from services.mongo import open_mongo
from services.settings import Settings
from services.signing import Signer


class Sandbox(Value):
    """Nobody but the benchmark reads these topics, so that no generator is flooded."""

    settings: Settings
    key: str

    def own(self, command: Command) -> Command:
        """`command` in this sandbox; the rest of its settings are the stack's."""
        return command.model_copy(
            update={
                "environment": {
                    **command.environment,
                    "DARKROOM_KAFKA__TOPIC_PREFIX": self.settings.kafka.topic_prefix,
                    "DARKROOM_MONGO__DATABASE": self.settings.mongo.database,
                }
            }
        )

    def module(self, name: str, *arguments: str) -> Command:
        return self.own(python(self.settings, "-m", name, *arguments))


@asynccontextmanager
async def sandbox(stack: Settings) -> AsyncIterator[Sandbox]:
    name = f"bench-{token_hex(4)}"
    settings = stack.model_copy(
        update={
            "kafka": stack.kafka.model_copy(update={"topic_prefix": f"{name}."}),
            "mongo": stack.mongo.model_copy(update={"database": name}),
        }
    )
    try:
        await migrate(settings)
        yield Sandbox(settings=settings, key=await _key(settings))
    finally:
        await _drop(settings)


async def _key(settings: Settings) -> str:
    async with open_mongo(settings.mongo) as mongo:
        keys = Keys(mongo, Signer(settings.master_secret.get_secret_value()))
        return (await keys.create(settings.project, "bench", limit=None)).key


async def _drop(settings: Settings) -> None:
    async with open_mongo(settings.mongo) as mongo:
        await mongo.client.drop_database(settings.mongo.database)
    admin = AIOKafkaAdminClient(**client_settings(settings.kafka))
    try:
        await admin.start()
        ours = {settings.kafka.topic_prefix + topic.name for topic in TOPICS}
        await admin.delete_topics(sorted(ours & set(await admin.list_topics())))
    finally:
        await admin.close()
