"""The generator as a process: a command in Kafka becomes events and a picture, whoever dies."""

import json
import signal
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image

from schemas.cloudevents import second_door_job
from schemas.queue import QueueRow, RowState
from schemas.topics import GENERATION_COMMANDS, GENERATION_EVENTS
from services.accounts import Keys
from services.dead_letters import Record as Message
from services.issuance import CreatedKey
from services.migration import migrate
from services.mongo import Mongo
from services.object_store import S3ObjectStore
from services.queue import Queue
from services.settings import ROOT, Settings
from services.signing import Signer
from tests.conditions import until_answered
from tests.connected.kafka_parts import (
    TopicTail,
    stranger,
    strangers_command,
    strangers_signature,
    tail_of,
)
from tests.connected.process_parts import ended, process_of
from tests.connected.queue_parts import make_row, own_database

pytestmark = pytest.mark.connected

GENERATOR = "workers.generator"
CATALOGUE = """
default: [tiny]
models:
  - id: tiny
    source: {folder}
    sizes: {{native: [64, 64], smallest: 64}}
    tiers:
      draft: &tier {{num_inference_steps: 2, guidance_scale: 1, scheduler: DDIMScheduler}}
      standard: *tier
      high: *tier
      ultra: *tier
"""
#: Short leases, so that a test sees one expire; longer than the engine takes to notice an end.
HASTY = {
    "DARKROOM_GENERATOR__LEASE": "PT3S",
    "DARKROOM_GENERATOR__RENEW": "PT0.5S",
    "DARKROOM_GENERATOR__SWEEP": "PT0.2S",
    "DARKROOM_GENERATOR__BACKOFF": "PT0.1S",
}
PICTURE = {"prompt": "a red circle", "width": 64, "height": 64, "seed": 7}
LONG = {**PICTURE, "num_inference_steps": 500, "width": 128, "height": 128}


class Studio:
    """What a test needs beside the process itself."""

    def __init__(
        self, settings: Settings, mongo: Mongo, events: TopicTail, key: CreatedKey
    ) -> None:
        self.settings = settings
        self.mongo = mongo
        self.events = events
        self.key = key

    async def ask(self, picture: dict[str, Any]) -> UUID:
        """Send a command as another service does; the job's id, which is its first run's."""
        (job,) = await self.ask_for_all(picture)
        return job

    async def ask_for_all(self, *pictures: dict[str, Any]) -> list[UUID]:
        value = strangers_command(self.key.project, *pictures)
        signature = strangers_signature(value, self.key.id, self.key.signing_secret)
        topic = self.settings.kafka.topic_prefix + GENERATION_COMMANDS.name
        async with stranger(self.settings) as producer:
            await producer.send_and_wait(topic, value, headers=[signature, ("b", b"\xff")])
        event = json.loads(value)["id"]
        return [
            second_door_job(self.key.project, "/shop", event, index)
            for index in range(len(pictures))
        ]

    async def told(self, job: UUID, kind: str, times: int = 1) -> list[Message]:
        """The job's messages, once there are `times` of that kind."""

        def there(_: object) -> bool:
            kinds = [kind_of(message) for message in self.events.of(str(job))]
            return kinds.count(kind) >= times

        await self.events.until(there, seconds=200)
        return self.events.of(str(job))

    async def row(self, run: UUID) -> QueueRow:
        return QueueRow.model_validate(await self.mongo.queue.find_one({"_id": run}))


def kind_of(message: Message) -> str:
    return str(json.loads(message.value or b"")["type"].split(".")[-2])


def data_of(message: Message) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(message.value or b"")["data"]
    return data


@pytest.fixture
async def studio(stack: Settings, tmp_path: Path) -> AsyncIterator[Studio]:
    catalogue = tmp_path / "models.yaml"
    catalogue.write_text(CATALOGUE.format(folder=ROOT / "models" / "tiny"))
    async with own_database(stack) as mongo:
        settings = stack.model_copy(
            update={
                "mongo": stack.mongo.model_copy(update={"database": mongo.database.name}),
                "kafka": stack.kafka.model_copy(update={"topic_prefix": f"{uuid4().hex}."}),
                "engine": stack.engine.model_copy(update={"models": catalogue}),
            }
        )
        await migrate(settings)
        keys = Keys(mongo, Signer(settings.master_secret.get_secret_value()))
        key = await keys.create("test-generator")
        async with tail_of(settings, GENERATION_EVENTS) as events:
            yield Studio(settings, mongo, events, key)


async def test_a_signed_command_becomes_events_in_order_and_a_picture(studio: Studio) -> None:
    job = await studio.ask(PICTURE)  # a group's first consumer begins with what was there before
    async with process_of(GENERATOR, studio.settings) as process:
        messages = await studio.told(job, "completed")

        assert [kind_of(message) for message in messages] == ["accepted", "started", "completed"]
        assert len({message.partition for message in messages}) == 1
        completed = data_of(messages[-1])
        (image,) = completed["images"]
        async with S3ObjectStore.open(studio.settings.s3) as store:
            content = await store.get(image["relative_path"])
        picture = Image.open(BytesIO(content))
        assert (picture.format, picture.size, len(content)) == ("PNG", (64, 64), image["bytes"])
        assert (image["seed"], completed["model"], completed["attempt"]) == (7, "tiny", 1)
        row = await studio.row(job)
        assert (row.state, row.published) == (RowState.DONE, True)
        assert row.uploads == (), "nothing of it is left to be swept"

        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0


async def test_a_generator_that_is_told_to_end_gives_its_run_back_uncounted(
    studio: Studio,
) -> None:
    async with process_of(GENERATOR, studio.settings) as process:
        job = await studio.ask(LONG)
        await studio.told(job, "started")

        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0

    row = await studio.row(job)
    assert (row.state, row.attempt, row.outcome) == (RowState.READY, 0, None)


async def test_a_run_whose_generator_was_killed_is_completed_by_another(studio: Studio) -> None:
    async with process_of(GENERATOR, studio.settings, **HASTY) as first:
        job = await studio.ask(LONG)
        await studio.told(job, "started")
        first.kill()
        await ended(first)

    async with process_of(GENERATOR, studio.settings, **HASTY):
        messages = await studio.told(job, "completed")

    assert data_of(messages[-1])["attempt"] == 2
    assert [kind_of(message) for message in messages].count("completed") == 1


async def test_two_generators_share_the_work_and_one_that_is_killed_costs_no_outcome(
    studio: Studio,
) -> None:
    jobs = await studio.ask_for_all(*({**PICTURE, "seed": number} for number in range(24)))

    def outcomes(messages: list[Message]) -> list[str]:
        return [str(message.key) for message in messages if kind_of(message) == "completed"]

    async def all_published() -> bool:
        decided = {"state": RowState.DONE, "published": True}
        return await studio.mongo.queue.count_documents(decided) == len(jobs)

    async with (
        process_of(GENERATOR, studio.settings, **HASTY) as first,
        process_of(GENERATOR, studio.settings, **HASTY),
    ):
        await studio.events.until(lambda seen: len(outcomes(seen)) >= 5, seconds=200)
        first.kill()
        await studio.events.until(lambda seen: len(set(outcomes(seen))) == len(jobs), seconds=200)
        await until_answered(all_published)
        await studio.events.read()

    ends = {message.value for message in studio.events.seen if kind_of(message) == "completed"}
    assert len(ends) == len(jobs), "one outcome each, however often it is told"


async def test_a_cancel_stops_a_run_in_the_middle(studio: Studio) -> None:
    async with process_of(GENERATOR, studio.settings):
        job = await studio.ask({**LONG, "num_images": 20})
        await studio.told(job, "started")
        await studio.mongo.queue.update_one({"_id": job}, {"$set": {"cancel": True}})

        messages = await studio.told(job, "cancelled")
        following = await studio.ask(PICTURE)
        await studio.told(following, "completed")

    assert "completed" not in [kind_of(message) for message in messages]


async def test_a_generator_that_meets_what_nobody_foresaw_ends_and_says_so(studio: Studio) -> None:
    """Its supervisor starts another; the attempt was counted at the claim."""
    row = make_row(spec=None)
    await Queue(studio.mongo, studio.settings.generator).enqueue([row])

    async with process_of(GENERATOR, studio.settings) as process:
        assert await ended(process, seconds=200) not in (0, None)

    kept = await studio.row(row.id)
    assert (kept.state, kept.attempt) == (RowState.LEASED, 1)
