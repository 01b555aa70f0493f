"""Doctor against a real Kafka, mongod and S3 server in which something is deliberately broken."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from pydantic import SecretStr
from typer import Typer
from typer.testing import CliRunner

from compose.checks import Check, database
from compose.checks.servers import servers
from compose.cli import build
from compose.embedded import state
from schemas.common import now
from schemas.queue import Outcome, RowState
from schemas.topics import GENERATION_COMMANDS, GENERATION_EVENTS, RECIPES_EVENTS
from services.broker import Publisher
from services.dead_letters import bury
from services.errors import UnreadableMessage
from services.migration import migrate
from services.mongo import Mongo, open_mongo
from services.object_store import S3ObjectStore
from services.projection_store import ProjectionStore
from services.queue_rows import row_document
from services.records import Record
from services.settings import Settings
from services.topic_admin import TopicAdmin
from services.watchdog import Watchdog
from tests.connected.own_stack import own_stack
from tests.connected.queue_parts import make_row
from tests.connected.test_dead_letters_command import Buried
from workers.projector import project

pytestmark = pytest.mark.connected

#: In a stack without our own processes.
IDLE = {"intake lag"}


@pytest.fixture
async def settings(stack: Settings) -> Settings:
    return await own_stack(stack)


@pytest.fixture
async def mongo(settings: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(settings.mongo) as mongo:
        yield mongo


async def wrong(settings: Settings) -> dict[str, str]:
    """The failing checks and what they say, but for what is always so here."""
    found: tuple[Check, ...] = await servers(settings)
    return {check.name: check.detail for check in found if not check.ok and check.name not in IDLE}


async def test_nothing_is_wrong_with_a_stack_in_which_nothing_is_broken(
    settings: Settings,
) -> None:
    assert await wrong(settings) == {}


async def test_a_topic_with_too_few_partitions_is_named(settings: Settings) -> None:
    name = settings.kafka.topic_prefix + RECIPES_EVENTS.name
    async with TopicAdmin.open(settings.kafka) as admin:
        await admin._client.delete_topics([name])
        await _until_gone(admin)
        await admin._client.create_topics([NewTopic(name, 1, 1)])

    async def told() -> bool:
        return "has 1 of 3 partitions" in (await wrong(settings)).get("topics", "")

    await _until(told)
    assert "darkroom migrate" in (await wrong(settings))["topics"]


async def test_a_setting_that_somebody_changed_is_named(settings: Settings) -> None:
    name = settings.kafka.topic_prefix + GENERATION_EVENTS.name
    async with TopicAdmin.open(settings.kafka) as admin:
        changed = ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "60000"})
        await admin._client.alter_configs([changed])

    complaint = (await wrong(settings))["topics"]

    assert "retention.ms is 60000, not -1" in complaint
    await migrate(settings)  # what the complaint says to do
    assert await wrong(settings) == {}


async def test_a_missing_index_is_named_and_migrate_makes_it(
    settings: Settings, mongo: Mongo
) -> None:
    await mongo.queue.drop_index("claim")

    complaint = (await wrong(settings))["indexes"]

    assert "queue.claim" in complaint
    await migrate(settings)
    assert await wrong(settings) == {}


async def test_events_in_quarantine_are_told_with_the_reason(
    settings: Settings, mongo: Mongo
) -> None:
    store = ProjectionStore(mongo)
    await store.positions(["test:0"])
    await store.apply([Record("test:0", 0, b"not JSON")])

    complaint = (await wrong(settings))["quarantine"]

    assert complaint.startswith("1 events could not be folded, such as test:0:0 (json_invalid")


async def test_dead_letters_are_told_until_somebody_has_looked_after_them(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Publisher.open(settings.kafka) as publisher:
        for error in ("unsigned", "unsigned", "unreadable"):
            failure = UnreadableMessage(error, "why")
            await bury(publisher, Buried(settings, b"x", b"k"), failure, "demo")

    complaint = (await wrong(settings))["dead letters"]

    assert complaint.startswith("3 messages could not be read (2 unsigned, 1 unreadable)")
    for name, value in _variables(settings, tmp_path).items():
        monkeypatch.setenv(name, value)
    app = build("dead-letters")
    listed = await _invoke(app, "dead-letters", "ls")
    await _invoke(app, "dead-letters", "drop", *(line["id"] for line in listed))
    assert await wrong(settings) == {}


async def test_outcomes_that_kafka_never_got_are_told(settings: Settings, mongo: Mongo) -> None:
    ago = now() - timedelta(minutes=2)
    outcome = Outcome(type="t", event=b"", decided_at=ago)
    await mongo.queue.insert_one(row_document(make_row(state=RowState.DONE, outcome=outcome)))

    complaint = (await wrong(settings))["unpublished"]

    assert complaint.startswith("1 outcomes are not in Kafka, the oldest for 12")
    assert "logs generator" in complaint


async def test_a_lease_that_ran_out_is_told(settings: Settings, mongo: Mongo) -> None:
    await mongo.queue.insert_many(
        [
            row_document(make_row(state=RowState.READY, attempt=1)),
            row_document(make_row(state=RowState.LEASED, attempt=2)),
            row_document(make_row(state=RowState.LEASED, attempt=1)),
        ]
    )

    complaint = (await wrong(settings))["leases"]

    assert complaint.startswith("2 runs")


async def test_runs_that_nobody_takes_are_told(settings: Settings, mongo: Mongo) -> None:
    ago = now() - timedelta(minutes=5)
    await mongo.queue.insert_one(row_document(make_row(queued_at=ago)))

    assert "nobody takes them" in (await wrong(settings))["queue"]


async def test_commands_that_no_generator_reads_are_told(settings: Settings) -> None:
    async with Publisher.open(settings.kafka) as publisher:
        await publisher.publish(GENERATION_COMMANDS, "key", b"{}")

    (check,) = [check for check in await servers(settings) if check.name == "intake lag"]

    assert not check.ok
    assert check.detail.startswith("no generator is in its group, 1 commands wait")


async def test_a_projector_that_stands_still_is_told_and_one_that_runs_is_not(
    settings: Settings,
) -> None:
    async with Publisher.open(settings.kafka) as publisher:
        await publisher.publish(GENERATION_EVENTS, "key", b"{}")

    complaint = (await wrong(settings))["projector lag"]
    async with _projecting(settings):

        async def read() -> bool:
            return "projector lag" not in await wrong(settings)

        await _until(read)

    assert complaint.startswith("stands still with 1 records to read")
    assert "logs projector" in complaint


async def test_a_clock_that_differs_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "now", lambda: now() + timedelta(seconds=90))

    complaint = (await wrong(settings))["clock"]

    assert complaint.startswith("this machine's clock is 90 s ahead of MongoDB's")


async def test_a_bucket_that_is_not_there_is_told(settings: Settings) -> None:
    s3 = settings.s3.model_copy(update={"bucket": f"absent-{uuid4().hex}"})

    complaint = (await wrong(settings.model_copy(update={"s3": s3})))["s3 answers"]

    assert "darkroom migrate" in complaint


async def test_keys_that_may_not_write_to_the_bucket_are_told(settings: Settings) -> None:
    s3 = settings.s3.model_copy(update={"aws_secret_access_key": SecretStr("another")})

    complaint = (await wrong(settings.model_copy(update={"s3": s3})))["s3 answers"]

    assert "its keys and their rights" in complaint
    async with S3ObjectStore.open(settings.s3) as store:
        await store.ping()  # it is the keys


async def test_a_server_that_is_away_is_told_once_and_not_by_every_check(
    settings: Settings,
) -> None:
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})

    complaints = await wrong(settings.model_copy(update={"kafka": kafka}))

    assert set(complaints) == {"kafka answers"}


async def test_a_stack_that_others_run_is_examined_without_a_process_here(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in _variables(settings, tmp_path).items():
        monkeypatch.setenv(name, value)

    result = await asyncio.to_thread(CliRunner().invoke, build("doctor"), ["doctor", "--json"])

    diagnosis = json.loads(result.stdout)
    found = {check["name"]: check["ok"] for check in diagnosis["checks"]}
    assert {name for name, ok in found.items() if not ok} == IDLE
    assert found["topics"]
    assert (diagnosis["ok"], result.exit_code) == (False, 1)


async def test_a_home_whose_state_is_damaged_is_one_failed_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    (tmp_path / state.FILE).write_text("{")

    result = await asyncio.to_thread(CliRunner().invoke, build("doctor"), ["doctor", "--json"])

    (check,) = json.loads(result.stdout)["checks"]
    assert (check["name"], check["ok"], result.exit_code) == ("state", False, 1)


def _variables(settings: Settings, home: Path) -> dict[str, str]:
    secret = settings.s3.aws_secret_access_key
    assert secret is not None
    return {
        "DARKROOM_HOME": str(home),
        "DARKROOM_MASTER_SECRET": "a secret of 24 letters..",
        "DARKROOM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "DARKROOM_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "DARKROOM_MONGO__URL": settings.mongo.url.get_secret_value(),
        "DARKROOM_MONGO__DATABASE": settings.mongo.database,
        "DARKROOM_S3__ENDPOINT_URL": settings.s3.endpoint_url or "",
        "DARKROOM_S3__BUCKET": settings.s3.bucket,
        "DARKROOM_S3__AWS_ACCESS_KEY_ID": settings.s3.aws_access_key_id or "",
        "DARKROOM_S3__AWS_SECRET_ACCESS_KEY": secret.get_secret_value(),
    }


async def _invoke(app: Typer, *words: str) -> list[dict[str, str]]:
    result = await asyncio.to_thread(
        CliRunner().invoke, app, [*words, "--json"], catch_exceptions=False
    )
    assert result.exit_code == 0
    return [json.loads(line) for line in result.stdout.splitlines()]


@contextlib.asynccontextmanager
async def _projecting(settings: Settings) -> AsyncIterator[None]:
    task = asyncio.create_task(project(settings, Watchdog(timedelta(minutes=5))))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await look():
            pass  # each look waits for servers


async def _until_gone(admin: TopicAdmin) -> None:
    async def gone() -> bool:
        return bool(await admin.missing((RECIPES_EVENTS,)))

    await _until(gone)
