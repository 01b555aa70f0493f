"""The log again from offset 0, beside a projector that goes on: the same documents, or it says."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from typer.testing import CliRunner

from compose.cli import build
from compose.errors import CommandFailed
from schemas.queue import QueueRow
from schemas.topics import GENERATION_EVENTS, GENERATION_PROGRESS
from services import run_events
from services.broker import Publisher, client_settings
from services.decisions import Decisions
from services.library.feed import Feed
from services.library.whole import Library
from services.mongo import Collection, Document, Mongo, open_mongo
from services.object_store import S3ObjectStore
from services.queue import Queue
from services.rebuild import Rebuild
from services.rebuild_corrections import Corrections
from services.rebuild_looks import Found
from services.settings import Settings
from services.watchdog import Watchdog
from tests.connected.library_parts import begun_flow
from tests.connected.log_parts import Day
from tests.connected.own_stack import own_stack
from tests.connected.projection_parts import insert_job
from tests.connected.queue_parts import RememberingPublisher, completed, make_row, outcomes_of
from workers.projector import project

pytestmark = pytest.mark.connected

PROJECT = "demo"
FACTS = {"source": "generated"}


class Objects:
    async def delete(self, key: str) -> None:
        """There are none."""


class Place:
    def __init__(self, settings: Settings, mongo: Mongo, day: Day) -> None:
        self.settings = settings
        self.mongo = mongo
        self.day = day


@pytest.fixture(scope="module")
async def place(stack: Settings) -> AsyncIterator[Place]:
    """A day with purges and a deleted flow, folded by a projector that runs on."""
    settings = await own_stack(stack)
    async with (
        open_mongo(settings.mongo) as mongo,
        Publisher.open(settings.kafka) as publisher,
        projecting(settings),
    ):
        day = Day(mongo, publisher, PROJECT, seed=6)
        flow = await begun_flow(mongo, PROJECT)
        await day.go_on(20)
        await day.go_on(10, flow)
        place = Place(settings, mongo, day)
        await caught_up(place)
        await remove_some(place, flow)
        yield place


@asynccontextmanager
async def projecting(settings: Settings) -> AsyncIterator[None]:
    task = asyncio.create_task(project(settings, Watchdog(timedelta(minutes=5))))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def caught_up(place: Place) -> None:
    async with Rebuild.open(place.settings, place.mongo, lambda *_: None) as rebuild:
        await rebuild.catch_up()


async def remove_some(place: Place, flow: Any) -> None:
    async def cancel(*_: object) -> None:
        """There is no worker."""

    mongo = place.mongo
    library = Library(mongo, Feed(mongo), cast(S3ObjectStore, Objects()), cancel)
    for job in (place.day.jobs[0], place.day.jobs[25]):
        await library.purging.generation(PROJECT, job.id)
    image = await mongo.images.find_one(FACTS)
    assert image is not None
    await library.purging.image(PROJECT, image["_id"])
    await library.flows.delete(PROJECT, flow)


@pytest.fixture(autouse=True)
def environment(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = place.settings
    for name, value in {
        "DARKROOM_HOME": str(tmp_path),
        "DARKROOM_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "DARKROOM_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "DARKROOM_MONGO__URL": settings.mongo.url.get_secret_value(),
        "DARKROOM_MONGO__DATABASE": settings.mongo.database,
    }.items():
        monkeypatch.setenv(name, value)


async def run(*words: str) -> tuple[int, list[dict[str, Any]]]:
    """In a thread: a command has an event loop of its own."""
    invoke = CliRunner().invoke
    result = await asyncio.to_thread(
        invoke, build(words[0]), [*words, "--json"], catch_exceptions=False
    )
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


async def documents(collection: Collection, wanted: Document, *fields: str) -> dict[Any, Document]:
    found = collection.find(wanted, dict.fromkeys(fields, 1) if fields else None)
    return {document.pop("_id"): document async for document in found}


async def test_what_is_rebuilt_from_offset_0_is_identical(place: Place) -> None:
    mongo = place.mongo
    async with Rebuild.open(place.settings, mongo, lambda *_: None) as rebuild:
        await rebuild.catch_up()
        jobs = await documents(rebuild.side.jobs, {}, "project", "state")
        images = await documents(rebuild.side.images, {"marks": None})
        names = await mongo.database.list_collection_names()

    live = await documents(mongo.jobs, {}, "project", "state")
    for job in (*live.values(), *jobs.values()):  # a retry leaves a null where it took back
        job["state"] = {name: value for name, value in job["state"].items() if value is not None}
    assert len(live) == 28
    assert jobs == live
    pictures = await documents(mongo.images, FACTS)
    purged = await documents(mongo.images, {"marks.purged_at": {"$ne": None}})
    assert {image: facts for image, facts in images.items() if image not in purged} == pictures
    assert len(pictures) > 10
    assert len(images.keys() & purged.keys()) == 1, "its job is still there"
    left = await mongo.database.list_collection_names()
    assert any(name.startswith("rebuild.") for name in names)
    assert not any(name.startswith("rebuild.") for name in left)


async def test_nothing_differs_while_events_come(place: Place) -> None:
    coming = asyncio.create_task(place.day.go_on(40))

    code, lines = await run("rebuild")

    await coming
    assert (code, len(lines)) == (0, 1)
    assert (lines[0]["differences"], lines[0]["unreadable"]) == (0, 0)
    assert lines[0]["missing"] >= 2, "events of purged jobs"
    assert lines[0]["jobs"] >= 28


Damage = Callable[[Mongo], Awaitable[tuple[str, Any, str]]]


async def another_status(mongo: Mongo) -> tuple[str, Any, str]:
    job = await mongo.jobs.find_one({"state.status": "succeeded"})
    assert job is not None
    await mongo.jobs.update_one({"_id": job["_id"]}, {"$set": {"state.status": "failed"}})
    return "jobs", job["_id"], "different"


async def a_state_undone(mongo: Mongo) -> tuple[str, Any, str]:
    job = await mongo.jobs.find_one({"state.status": "succeeded"})
    assert job is not None
    fresh = {"status": "pending", "runs": {}}
    await mongo.jobs.update_one(
        {"_id": job["_id"]}, {"$set": {"state": fresh}, "$unset": {"folds": ""}}
    )
    return "jobs", job["_id"], "different"


async def a_fact_of_an_image(mongo: Mongo) -> tuple[str, Any, str]:
    image = await mongo.images.find_one(FACTS)
    assert image is not None
    worse = {"$set": {"picture.width": 9, "nobodys": 1, "marks.meta": {"kept": True}}}
    await mongo.images.update_one({"_id": image["_id"]}, worse)
    return "images", image["_id"], "different"


async def a_lost_image(mongo: Mongo) -> tuple[str, Any, str]:
    image = await mongo.images.find_one_and_delete(FACTS)
    assert image is not None
    return "images", image["_id"], "missing"


async def an_invented_image(mongo: Mongo) -> tuple[str, Any, str]:
    image = await mongo.images.find_one(FACTS)
    assert image is not None
    facts = {**image, "_id": uuid4()}
    facts["picture"] = {**facts["picture"], "relative_path": f"generated/{facts['_id']}.png"}
    await mongo.images.insert_one(facts)
    return "images", facts["_id"], "surplus"


@pytest.mark.parametrize(
    "damage",
    [another_status, a_state_undone, a_fact_of_an_image, a_lost_image, an_invented_image],
)
async def test_what_was_damaged_is_reported_and_mended(place: Place, damage: Damage) -> None:
    await caught_up(place)
    before = await stored(place.mongo)
    collection, document, kind = await damage(place.mongo)
    damaged = await stored(place.mongo)

    reported = await run("rebuild")
    mended = await run("rebuild", "--apply")
    again = await run("rebuild")

    assert reported[0] == 1
    (difference,) = reported[1][:-1]
    told = difference["collection"], difference["id"], difference["kind"]
    assert told == (collection, str(document), kind)
    assert difference["changes"]
    assert (mended[0], mended[1][-1]["applied"]) == (0, 1)
    assert (again[0], again[1][-1]["differences"]) == (0, 0)
    assert damaged != before == await stored(place.mongo)
    rebuild = UUID(mended[1][-1]["rebuild"])
    kept = await place.mongo.replaced.find_one({"rebuild": rebuild, "document": document})
    assert kept is not None
    assert (kept["before"] is None) is (kind == "missing")


async def stored(mongo: Mongo) -> tuple[dict[Any, Document], dict[Any, Document]]:
    images = await documents(mongo.images, {})
    for image in images.values():
        image.pop("marks", None)
    jobs = await documents(mongo.jobs, {}, "state")
    for job in jobs.values():
        job["state"] = {name: value for name, value in job["state"].items() if value is not None}
    return jobs, images


async def test_a_state_that_was_folded_since_is_not_overwritten(place: Place) -> None:
    await caught_up(place)
    job = await place.mongo.jobs.find_one({"folds": {"$gt": 1}})
    assert job is not None
    wrong = {"status": "failed", "runs": {}}
    stale = Found("jobs", job["_id"], PROJECT, job["state"], wrong, job["folds"] - 1)

    applied = await Corrections(place.mongo, uuid4()).apply(stale)

    assert not applied
    assert await place.mongo.jobs.find_one({"_id": job["_id"]}) == job


async def test_an_outcome_that_is_not_published_yet_is_neither_reported_nor_undone(
    place: Place,
) -> None:
    row = await shown_unpublished(place)
    shown = await stored(place.mongo)
    code, lines = await run("rebuild", "--apply")

    assert (code, len(lines)) == (0, 1)
    assert (lines[0]["differences"], lines[0]["under_way"]) == (0, 2), "the job, its picture"
    assert await stored(place.mongo) == shown

    await publish_outcome(place, row)
    assert (await run("rebuild"))[1][-1]["under_way"] == 0
    await place.mongo.jobs.update_one({"_id": row.job}, {"$set": {"state.status": "failed"}})
    await place.mongo.images.delete_one({"job_id": row.job})
    code, lines = await run("rebuild", "--apply")

    assert (code, lines[-1]["applied"]) == (0, 2)
    assert await stored(place.mongo) == shown


async def test_an_outcome_that_was_shown_since_is_not_corrected(place: Place) -> None:
    row = await shown_unpublished(place)
    mongo = place.mongo
    job = await mongo.jobs.find_one({"_id": row.job})
    image = await mongo.images.find_one({"job_id": row.job})
    assert job is not None
    assert image is not None
    before = {"status": "running", "runs": {}}
    corrections = Corrections(mongo, uuid4())
    state = Found("jobs", job["_id"], PROJECT, job["state"], before, job["folds"])
    facts = Found("images", image["_id"], PROJECT, image, None)

    shown = await stored(mongo)
    assert not await corrections.apply(state)
    assert not await corrections.apply(facts)
    assert await stored(mongo) == shown

    await publish_outcome(place, row)


async def shown_unpublished(place: Place) -> QueueRow:
    """A run that has begun on the log and ended in the documents alone."""
    job = await insert_job(place.mongo, project=PROJECT)
    place.day.jobs.append(job)
    queue = Queue(place.mongo, place.settings.generator)
    lease = queue.first_lease(make_row(id=job.id))
    assert await queue.insert_leased(lease)
    async with Publisher.open(place.settings.kafka) as publisher:
        for event in (run_events.accepted(lease.row, None), run_events.started(lease.row, "w")):
            await publisher.publish(GENERATION_EVENTS, str(job.id), event.encode())
    await caught_up(place)

    away = RememberingPublisher(outages=[TimeoutError()])
    outcomes = outcomes_of(place.mongo, queue, away)
    assert await outcomes.commit(lease, completed(lease.row))
    assert await place.mongo.images.find_one({"job_id": job.id})
    return lease.row


async def publish_outcome(place: Place, row: QueueRow) -> None:
    """As the sweep does."""
    decided = QueueRow.model_validate(await place.mongo.queue.find_one({"_id": row.id}))
    assert decided.outcome is not None
    async with Publisher.open(place.settings.kafka) as publisher:
        await publisher.publish(GENERATION_EVENTS, str(row.job), decided.outcome.event)
    await Decisions(place.mongo).published(row.id)


@pytest.mark.parametrize(("moved", "said"), [(10**6, "of another log"), (-1, "1 records behind")])
async def test_a_projector_elsewhere_is_no_difference(
    place: Place, monkeypatch: pytest.MonkeyPatch, moved: int, said: str
) -> None:
    monkeypatch.setattr("services.rebuild.PATIENCE", timedelta(seconds=0.5))
    topic = f"{place.settings.kafka.topic_prefix}{GENERATION_EVENTS.name}"
    stood = await place.mongo.offsets.find_one({"_id": {"$regex": topic}, "offset": {"$gt": 0}})
    assert stood is not None
    this = {"_id": stood["_id"]}
    await place.mongo.offsets.update_one(this, {"$inc": {"offset": moved}})

    with pytest.raises(CommandFailed, match=said):
        await run("rebuild")

    await place.mongo.offsets.update_one(this, {"$set": {"offset": stood["offset"]}})


async def test_progress_that_has_expired_is_known_from_the_live_states(place: Place) -> None:
    name = place.settings.kafka.topic_prefix + GENERATION_PROGRESS.name
    admin = AIOKafkaAdminClient(**client_settings(place.settings.kafka))
    await admin.start()
    gone = {TopicPartition(name, each): RecordsToDelete(-1) for each in range(12)}
    await admin.delete_records(gone)
    await admin.close()

    code, lines = await run("rebuild")

    assert (code, lines[-1]["progress_whole"]) == (0, False)
    under_way = {"state.runs": {"$ne": {}}, "state.status": "running"}
    assert await place.mongo.jobs.count_documents(under_way) > 0


async def test_without_servers_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with pytest.raises(CommandFailed, match="Kafka does not answer"):
        await run("rebuild")

    monkeypatch.setenv("DARKROOM_MONGO__URL", "mongodb://127.0.0.1:1/?replicaSet=rs0")
    monkeypatch.setenv("DARKROOM_MONGO__SERVER_SELECTION_TIMEOUT", "PT0.1S")
    with pytest.raises(CommandFailed, match="MongoDB does not answer"):
        await run("rebuild")


async def test_the_log_keeps_what_it_promises_and_a_breach_is_found(place: Place) -> None:
    whole = await run("events", "verify")
    job = place.day.jobs[1]
    value = b'{"not": "an event"}'
    async with Publisher.open(place.settings.kafka) as publisher:
        await publisher.publish(GENERATION_EVENTS, str(job.id), value)
    broken = await run("events", "verify")

    assert whole[0] == 0
    (counted,) = whole[1]
    assert (counted["violations"], counted["jobs"]) == (0, len(place.day.jobs))
    assert counted["repeats"] > 20
    assert 0 < counted["ended"] < counted["runs"]
    assert broken[0] == 1
    assert [line["rule"] for line in broken[1][:-1]] == ["readable"]
