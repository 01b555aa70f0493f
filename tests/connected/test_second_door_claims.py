"""Names, flows and references of a command from Kafka: the same admission as over HTTP."""

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid4

import pytest

from schemas.cloudevents import second_door_job
from schemas.jobs import Dialect, Job, Reference
from schemas.queue import RowState
from schemas.topics import GENERATION_COMMANDS
from services.accounts import Keys
from services.broker import Publisher
from services.cancels import Cancels
from services.commands import CommandReader
from services.fairness import Fairness
from services.intake import Intake
from services.issuance import CreatedKey
from services.library.feed import Feed
from services.library.leads import Leads
from services.library.whole import Library
from services.mongo import Mongo
from services.object_store import S3ObjectStore
from services.queue import Queue
from services.reruns import Changes
from services.settings import Settings
from services.slot import Slot
from tests.connected.kafka_parts import strangers_command, strangers_signature
from tests.connected.library_parts import (
    CATALOGUE,
    SIGNER,
    admission_of,
    admitted,
    begun_flow,
    completed,
    library_database,
    uploaded,
    wish,
)
from tests.connected.projection_parts import stored_job
from tests.connected.queue_parts import RememberingPublisher, outcomes_of

pytestmark = pytest.mark.connected

HERO = "@hero"
PICTURE = {"prompt": "a red circle", "model": "tiny", "width": 64, "height": 64}


class Message(NamedTuple):
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    topic: str = GENERATION_COMMANDS.name
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None


class Door:
    def __init__(self, stack: Settings, mongo: Mongo, key: CreatedKey) -> None:
        self.mongo = mongo
        self.key = key
        self.publisher = RememberingPublisher()
        self.admission = admission_of(mongo, self.publisher)
        publisher = cast(Publisher, self.publisher)
        queue = Queue(mongo, stack.generator)
        self.intake = Intake(
            settings=stack,
            reader=CommandReader(SIGNER, Keys(mongo, SIGNER)),
            admission=self.admission,
            fairness=Fairness(mongo, CATALOGUE),
            queue=queue,
            cancels=Cancels(mongo),
            outcomes=outcomes_of(mongo, queue, publisher),
            publisher=publisher,
            slot=Slot(),
        )

    async def take_in(self, value: bytes) -> UUID:
        """The first job of the stranger's command."""
        signature = strangers_signature(value, self.key.id, self.key.signing_secret)
        await self.intake.take_in([cast(Any, Message(value, (signature,)))])
        return second_door_job(self.key.project, "/shop", json.loads(value)["id"])

    async def ask(self, *jobs: dict[str, Any]) -> UUID:
        asked = [{**PICTURE, **job} for job in jobs]
        return await self.take_in(strangers_command(self.key.project, *asked))

    def reasons(self, job: UUID) -> list[tuple[str, str]]:
        (event,) = [json.loads(value) for value in self.publisher.bytes_of(job)]
        return [(error["pointer"], error["code"]) for error in event["data"]["errors"]]


@pytest.fixture(scope="module")
async def mongo(migrated: Settings) -> AsyncIterator[Mongo]:
    async with library_database(migrated) as mongo:
        yield mongo


@pytest.fixture
async def door(migrated: Settings, mongo: Mongo) -> Door:
    return Door(migrated, mongo, await Keys(mongo, SIGNER).create(f"test-{uuid4()}"))


async def made(door: Door, **facts: Any) -> tuple[Job, UUID]:
    """A job of the same project that came over HTTP, with its picture."""
    job = await admitted(door.admission, door.key.project, wish(**facts))
    return job, await completed(door.mongo, job)


async def test_a_strangers_job_claims_and_refers_like_any_other(door: Door) -> None:
    first, image = await made(door, flow_alias=HERO, new_flow=True)
    file = await uploaded(door.mongo, door.key.project)
    references = [{"alias": HERO}, {"image_id": str(file.id)}]

    job_id = await door.ask(
        {"alias": "@mine", "flow_id": str(first.flow_id), "references": references}
    )

    job = await stored_job(door.mongo, job_id)
    assert (job.dialect, job.alias, job.flow_id) == (Dialect.KAFKA, "@mine", first.flow_id)
    assert job.spec.references == (
        Reference(image_id=image, alias=HERO),
        Reference(image_id=file.id),
    )
    row = await door.mongo.queue.find_one({"_id": job_id})
    assert row is not None
    assert row["spec"]["references"][0]["image_id"] == image
    lead = await Leads(door.mongo).resolve(door.key.project, "@mine")
    assert lead is not None
    assert lead.pending == job


async def test_a_pending_one_is_waited_for(door: Door) -> None:
    first = await admitted(door.admission, door.key.project, wish(alias=HERO))

    job_id = await door.ask({"references": [{"alias": HERO}]})

    row = await door.mongo.queue.find_one({"_id": job_id})
    assert row is not None
    assert (row["state"], row["after"]) == (RowState.WAITING, [first.run])


async def test_a_redelivered_command_keeps_what_it_led_to_at_first(door: Door) -> None:
    first, image = await made(door, flow_alias=HERO, new_flow=True)
    asked = {"alias": "@mine", "flow_id": str(first.flow_id), "references": [{"alias": HERO}]}
    value = strangers_command(door.key.project, {**PICTURE, **asked})
    job_id = await door.take_in(value)
    await made(door, flow_alias=HERO, flow_id=first.flow_id)
    await door.mongo.queue.delete_one({"_id": job_id})  # as after a crash before the row

    await door.take_in(value)

    row = await door.mongo.queue.find_one({"_id": job_id})
    assert row is not None
    assert row["spec"]["references"][0]["image_id"] == image
    assert door.publisher.kinds(job_id) == ["accepted"] * 2
    assert await door.mongo.aliases.count_documents({"name": "@mine", "job_id": job_id}) == 1


async def test_a_redelivered_command_is_accepted_even_when_its_flow_has_gone(door: Door) -> None:
    flow = await begun_flow(door.mongo, door.key.project)
    value = strangers_command(door.key.project, {**PICTURE, "flow_id": str(flow)})
    job_id = await door.take_in(value)
    await door.mongo.flows.delete_one({"_id": flow})

    await door.take_in(value)

    assert door.publisher.kinds(job_id) == ["accepted"] * 2


@pytest.mark.parametrize("name", [{}, {"alias": "@purged"}])
async def test_a_redelivered_command_does_not_bring_back_what_was_purged(
    door: Door, name: dict[str, str]
) -> None:
    project = door.key.project
    value = strangers_command(project, {**PICTURE, **name}, PICTURE)
    purged = await door.take_in(value)
    kept = second_door_job(project, "/shop", json.loads(value)["id"], 1)
    library = Library(
        door.mongo, Feed(door.mongo), cast(S3ObjectStore, None), door.admission.cancel
    )
    await library.purging.generation(project, purged)
    await door.mongo.queue.delete_many({"_id": {"$in": [purged, kept]}})  # they age

    await door.take_in(value)

    jobs = [job["_id"] async for job in door.mongo.jobs.find({"project": project})]
    rows = [row["_id"] async for row in door.mongo.queue.find({"project": project})]
    assert jobs == rows == [kept]
    assert door.publisher.kinds(purged) == ["accepted"]
    assert await door.mongo.aliases.count_documents({"project": project}) == 0


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"alias": "hero"}, ("/data/jobs/1/alias", "invalid_alias")),
        ({"alias": "@last"}, ("/data/jobs/1/alias", "reserved_alias")),
        ({"alias": "@taken"}, ("/data/jobs/1/alias", "alias_taken")),
        ({"flow_alias": HERO}, ("/data/jobs/1/flow_alias", "invalid_request")),
        ({"flow_id": str(uuid4())}, ("/data/jobs/1/flow_id", "flow_not_found")),
        (
            {"references": [{"alias": "@taken"}, {"alias": "@nobody"}]},
            ("/data/jobs/1/references/1", "image_not_found"),
        ),
        (
            {"references": [{"image_id": str(uuid4())}]},
            ("/data/jobs/1/references/0", "image_not_found"),
        ),
        (
            {"references": [{"job_id": str(uuid4())}]},
            ("/data/jobs/1/references/0", "image_not_found"),
        ),
        ({"references": [{}]}, ("/data/jobs/1/references/0", "image_not_found")),
        ({"strength": 0.5}, ("/data/jobs/1/strength", "invalid_request")),
        (
            {"loras": [{"id": "nobodys", "weight": 1}]},
            ("/data/jobs/1/loras/0/id", "invalid_request"),
        ),
    ],
)
async def test_what_http_refuses_is_rejected_where_it_stands(
    door: Door, asked: dict[str, Any], reason: tuple[str, str]
) -> None:
    await made(door, alias="@taken")
    before = await door.mongo.jobs.count_documents({})

    job_id = await door.ask({"alias": "@mine"}, asked)

    assert door.publisher.kinds(job_id) == ["rejected"]
    assert door.reasons(job_id) == [reason]
    assert await door.mongo.jobs.count_documents({}) == before, "all of it or none"
    assert await door.mongo.aliases.count_documents({"name": "@mine", "job_id": job_id}) == 0


async def test_a_run_that_a_stranger_names_is_not_waited_for(door: Door) -> None:
    file = await uploaded(door.mongo, door.key.project)
    never = {"image_id": str(file.id), "run_id": str(uuid4())}

    job_id = await door.ask({"references": [never]})

    row = await door.mongo.queue.find_one({"_id": job_id})
    assert row is not None
    assert row["state"] == RowState.READY


async def test_a_retried_job_is_waited_for_as_it_runs_now(door: Door) -> None:
    first, _ = await made(door)
    (again,) = (await door.admission.rerun(await stored_job(door.mongo, first.id), Changes())).jobs

    job_id = await door.ask({"after": [str(first.id)]})

    assert (await stored_job(door.mongo, job_id)).after == (again.run,)
