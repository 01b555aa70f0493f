"""The migration on the real stack: what it makes, corrects, and leaves alone."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from pymongo import IndexModel

from schemas.topics import GENERATION_COMMANDS, RECIPES_EVENTS, TOPICS, Topic
from services import migration
from services.broker import client_settings
from services.errors import Unavailable
from services.indexes import COLLECTIONS
from services.migration import migrate
from services.mongo import Document, Mongo, open_mongo
from services.object_store import S3ObjectStore
from services.settings import Settings
from services.topic_admin import TopicAdmin

pytestmark = pytest.mark.connected


@pytest.fixture
async def settings(stack: Settings) -> Settings:
    name = f"test-{uuid4().hex}"
    kafka = stack.kafka.model_copy(update={"topic_prefix": f"{name}."})
    mongo = stack.mongo.model_copy(update={"database": name})
    s3 = stack.s3.model_copy(update={"bucket": name})
    return stack.model_copy(update={"kafka": kafka, "mongo": mongo, "s3": s3})


@pytest.fixture
async def mongo(settings: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(settings.mongo) as mongo:
        yield mongo
        await mongo.client.drop_database(settings.mongo.database)


@pytest.fixture
async def kafka(settings: Settings) -> AsyncIterator[Any]:
    client = AIOKafkaAdminClient(**client_settings(settings.kafka))
    await client.start()
    yield client
    await client.close()


async def partitions_of(kafka: Any, name: str) -> int:
    (described,) = await kafka.describe_topics([name])
    return len(described["partitions"])


async def settings_of(settings: Settings, topic: Topic) -> dict[str, str]:
    async with TopicAdmin.open(settings.kafka) as admin:
        return await admin.settings_of(settings.kafka.topic_prefix + topic.name)


async def test_everything_is_there_afterwards(settings: Settings, mongo: Mongo, kafka: Any) -> None:
    await migrate(settings)

    for topic in TOPICS:
        name = settings.kafka.topic_prefix + topic.name
        assert await partitions_of(kafka, name) == topic.partitions
        assert await settings_of(settings, topic) == topic.config(brokers=1)
    for name, indexes in COLLECTIONS.items():
        made = await mongo.database[name].index_information()
        assert set(made) == {"_id_", *(index.document["name"] for index in indexes)}
    async with S3ObjectStore.open(settings.s3) as store:
        await store.ping()


async def test_again_it_changes_nothing(settings: Settings, mongo: Mongo) -> None:
    await migrate(settings)
    before = await indexes_of(mongo)
    await mongo.jobs.insert_one({"_id": 1, "project": "demo"})

    await migrate(settings)

    assert await indexes_of(mongo) == before
    assert await mongo.jobs.count_documents({}) == 1


async def indexes_of(mongo: Mongo) -> list[Document]:
    return [dict(await mongo.database[name].index_information()) for name in COLLECTIONS]


async def test_a_setting_that_drifted_is_corrected_and_an_operators_own_is_kept(
    settings: Settings, kafka: Any
) -> None:
    await migrate(settings)
    name = settings.kafka.topic_prefix + GENERATION_COMMANDS.name
    drifted = {"retention.ms": "1000", "segment.bytes": "2000000"}
    await kafka.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, drifted)])

    await migrate(settings)

    kept = {"segment.bytes": "2000000"}
    wanted = GENERATION_COMMANDS.config(brokers=1)
    assert await settings_of(settings, GENERATION_COMMANDS) == wanted | kept


async def test_partitions_grow_and_never_shrink(
    settings: Settings, kafka: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(settings)
    name = settings.kafka.topic_prefix + RECIPES_EVENTS.name

    for wanted, found in ((5, 5), (2, 5)):
        topic = RECIPES_EVENTS.model_copy(update={"partitions": wanted})
        monkeypatch.setattr(migration, "TOPICS", (topic,))
        await migrate(settings)
        assert await partitions_of(kafka, name) == found


async def test_an_index_whose_definition_has_changed_is_replaced(
    settings: Settings, mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mongo.database["things"].create_indexes([IndexModel([("a", 1)], name="one")])
    wanted = {"things": (IndexModel([("a", 1)], name="one", unique=True),)}
    monkeypatch.setattr(migration, "COLLECTIONS", wanted)

    await migrate(settings)

    made = await mongo.database["things"].index_information()
    assert made["one"]["unique"]


@pytest.mark.parametrize(
    ("question", "order", "index"),
    [
        ({"batch_id": uuid4()}, [], "batch_id_1"),
        ({"flow_id": uuid4()}, [], "in_flow"),
        (
            {"idempotency.scope": "s", "idempotency.key": "k"},
            [],
            "idempotency.scope_1_idempotency.key_1",
        ),
        ({"published": False}, [("created_at", 1), ("_id", 1)], "unpublished"),
    ],
)
async def test_a_partial_index_answers_its_question(
    settings: Settings,
    mongo: Mongo,
    question: Document,
    order: list[tuple[str, int]],
    index: str,
) -> None:
    await migrate(settings)

    plan = await mongo.jobs.find(question, sort=order or None).explain()

    stage = plan["queryPlanner"]["winningPlan"]
    assert (stage["stage"], stage["inputStage"]["indexName"]) == ("FETCH", index)


async def test_a_server_that_stays_away_is_an_error_after_a_while(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "PATIENCE", 0.5)
    nobody = settings.mongo.model_copy(
        update={
            "url": settings.mongo.url.__class__("mongodb://127.0.0.1:1/?replicaSet=rs0"),
            "server_selection_timeout": timedelta(milliseconds=200),
        }
    )

    with pytest.raises(Unavailable, match=r"has not answered for 0\.5 s: .*Connect call failed"):
        await migrate(settings.model_copy(update={"mongo": nobody}))
