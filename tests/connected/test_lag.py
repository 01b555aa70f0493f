"""How far consumers are behind, on a real Kafka and mongod: `darkroom lag`, and the gauges."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from compose.cli import build
from compose.errors import CommandFailed
from schemas.common import now
from schemas.jobs import Dialect, GenerationSpec, Job
from schemas.queue import Outcome, RowState
from schemas.topics import GENERATION_COMMANDS, GENERATION_EVENTS, GENERATION_PROGRESS, Topic
from services.broker import Publisher, client_settings
from services.gauges import Gauges, show_lags
from services.inserts import job_document
from services.lag import KafkaLag, Lag
from services.mongo import Mongo, open_mongo
from services.queue_rows import row_document
from services.settings import Settings
from tests.connected.own_stack import own_stack
from tests.connected.queue_parts import make_row

pytestmark = pytest.mark.connected


@pytest.fixture
async def settings(stack: Settings) -> Settings:
    return await own_stack(stack)


@pytest.fixture
async def mongo(settings: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(settings.mongo) as mongo:
        yield mongo


@pytest.fixture
def environment(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DARKROOM_HOME": str(tmp_path),
        "DARKROOM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "DARKROOM_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "DARKROOM_MONGO__URL": settings.mongo.url.get_secret_value(),
        "DARKROOM_MONGO__DATABASE": settings.mongo.database,
    }.items():
        monkeypatch.setenv(name, value)


async def publish(settings: Settings, topic: Topic, count: int) -> None:
    async with Publisher.open(settings.kafka) as publisher:
        for number in range(count):
            await publisher.publish(topic, f"key {number}", b"{}")


async def ends(settings: Settings, topic: Topic) -> dict[TopicPartition, int]:
    consumer = AIOKafkaConsumer(**client_settings(settings.kafka))
    async with consumer:
        name = settings.kafka.topic_prefix + topic.name
        places = [TopicPartition(name, number) for number in range(topic.partitions)]
        found: dict[TopicPartition, int] = await consumer.end_offsets(places)
        return found


async def run_lag() -> dict[str, dict[str, Any]]:
    app = build("lag")
    result = await asyncio.to_thread(
        CliRunner().invoke, app, ["lag", "--json"], catch_exceptions=False
    )
    assert result.exit_code == 0
    return {(line := json.loads(text))["name"]: line for text in result.stdout.splitlines()}


async def test_intake_is_behind_by_what_its_group_has_not_committed(settings: Settings) -> None:
    await publish(settings, GENERATION_COMMANDS, 5)
    async with KafkaLag.open(settings.kafka) as kafka:
        before = await kafka.intake()
        committed = {
            place: end for place, end in (await ends(settings, GENERATION_COMMANDS)).items()
        }
        group = f"{settings.kafka.topic_prefix}generator"
        consumer = AIOKafkaConsumer(
            **client_settings(settings.kafka), group_id=group, enable_auto_commit=False
        )
        async with consumer:
            consumer.assign(list(committed))
            await consumer.commit(committed)
        await publish(settings, GENERATION_COMMANDS, 1)
        after = await kafka.intake()

    assert (before.behind, after.behind) == (5, 1)
    assert before.parts == {"generation.commands": 5}
    assert before.oldest_seconds is not None
    assert 0 <= (after.oldest_seconds or -1) < before.oldest_seconds + 10
    assert after.position == before.position + 5


async def test_the_projector_is_behind_by_what_its_stored_offsets_have_not_reached(
    settings: Settings, mongo: Mongo
) -> None:
    await publish(settings, GENERATION_EVENTS, 4)
    await mongo.offsets.insert_many(
        {"_id": f"{place.topic}:{place.partition}", "offset": end}
        for place, end in (await ends(settings, GENERATION_EVENTS)).items()
    )
    await publish(settings, GENERATION_EVENTS, 2)
    await publish(settings, GENERATION_PROGRESS, 3)

    async with KafkaLag.open(settings.kafka) as kafka:
        found = await kafka.projector(mongo)

    assert found.parts == {"generation.events": 2, "generation.progress": 3}
    assert found.behind == 5


@pytest.mark.usefixtures("environment")
async def test_the_command_has_one_row_a_consumer_with_counts_and_ages(
    settings: Settings, mongo: Mongo
) -> None:
    ago = now() - timedelta(minutes=2)
    await mongo.queue.insert_many(
        [
            row_document(make_row(queued_at=ago)),
            row_document(make_row()),
            row_document(make_row(state=RowState.LEASED)),
            row_document(make_row(after=(uuid4(),))),
            row_document(
                make_row(
                    state=RowState.DONE,
                    outcome=Outcome(type="t", event=b"", decided_at=ago),
                )
            ),
        ]
    )
    job = uuid4()
    unpublished = Job(
        id=job,
        run=job,
        project="demo",
        dialect=Dialect.BLOG,
        spec=GenerationSpec(prompt="a cat"),
        created_at=ago,
    )
    await mongo.jobs.insert_one(job_document(unpublished))

    lines = await run_lag()

    assert list(lines) == ["outbox", "intake", "queue", "outcomes", "projector"]
    assert lines["queue"]["parts"] == {"ready": 2, "waiting": 1, "leased": 1}
    for name in ("queue", "outcomes", "outbox"):
        assert 120 <= lines[name]["oldest_seconds"] < 150
    assert (lines["outbox"]["behind"], lines["outcomes"]["behind"]) == (1, 1)
    assert (lines["intake"]["behind"], lines["intake"]["oldest_seconds"]) == (0, None)


@pytest.mark.usefixtures("environment")
async def test_without_servers_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with pytest.raises(CommandFailed, match="Kafka does not answer"):
        await run_lag()

    monkeypatch.setenv("DARKROOM_MONGO__URL", "mongodb://127.0.0.1:1/?replicaSet=rs0")
    monkeypatch.setenv("DARKROOM_MONGO__SERVER_SELECTION_TIMEOUT", "PT0.1S")
    with pytest.raises(CommandFailed, match="MongoDB does not answer"):
        await run_lag()


async def test_the_gauges_show_the_queue_by_state_lane_and_model(
    settings: Settings, mongo: Mongo
) -> None:
    model = uuid4().hex
    spec = GenerationSpec(prompt="a cat", model=model)
    rows = [make_row(spec=spec, lane=2), make_row(spec=spec, lane=2)]
    await mongo.queue.insert_many([row_document(row) for row in rows])
    labels = {"state": "ready", "lane": "batch", "model": model}

    await Gauges(mongo, settings.kafka).depths()
    full = REGISTRY.get_sample_value("darkroom_queue_runs", labels)
    await mongo.queue.delete_many({})
    await Gauges(mongo, settings.kafka).depths()

    assert full == 2
    assert REGISTRY.get_sample_value("darkroom_queue_runs", labels) == 0


def test_the_gauges_show_each_consumer_s_lag() -> None:
    show_lags([Lag(name="test", behind=3, oldest_seconds=2.5, parts={"topic": 3})])

    labels = {"consumer": "test", "topic": "topic"}
    assert REGISTRY.get_sample_value("darkroom_consumer_lag_records", labels) == 3
    assert REGISTRY.get_sample_value("darkroom_consumer_lag_seconds", {"consumer": "test"}) == 2.5
