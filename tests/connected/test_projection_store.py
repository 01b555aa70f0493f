"""The fold on a real mongod: each event counts once, and nothing stops it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import uuid4

import pytest

from schemas.events import EVENTS, FailedData, GenerationEvent, GenerationFailed
from schemas.images import Image
from schemas.jobs import Failure, Status
from services import projection_documents
from services.mongo import Document, Mongo
from services.projection_documents import FoldedDocuments
from services.projection_store import Applied, OffsetsMoved, ProjectionStore
from services.records import Record, Told
from services.settings import Settings
from tests.connected.projection_parts import (
    accepted,
    completed,
    envelope,
    failed,
    insert_job,
    life,
    progress,
    projected_database,
    records,
    started,
    stored_job,
)

pytestmark = pytest.mark.connected

PARTITION = "test:0"


@pytest.fixture(scope="module")
async def database(stack: Settings) -> AsyncIterator[Mongo]:
    async with projected_database(stack) as mongo:
        yield mongo


@pytest.fixture
async def mongo(database: Mongo) -> Mongo:
    for name in ("jobs", "images", "flows", "offsets", "quarantine"):
        await database.database[name].delete_many({})
    return database


async def opened(mongo: Mongo) -> ProjectionStore:
    store = ProjectionStore(mongo)
    await store.positions([PARTITION])
    return store


async def offset(mongo: Mongo) -> int:
    stored = await mongo.offsets.find_one({"_id": PARTITION})
    assert stored is not None
    return int(stored["offset"])


async def test_a_batch_is_folded_and_its_offset_moves(mongo: Mongo) -> None:
    jobs = [await insert_job(mongo) for _ in range(3)]
    store = await opened(mongo)

    applied = await store.apply(records([event for job in jobs for event in life(job)]))

    assert applied == Applied(folded=12)
    assert await offset(mongo) == 12
    for job in jobs:
        stored = await stored_job(mongo, job.id)
        assert stored.status is stored.state.status is Status.SUCCEEDED
        assert stored.output is not None
        picture = stored.output.pictures[0]
        image = Image.model_validate(await mongo.images.find_one({"_id": picture.image_id}))
        assert (image.picture, image.job_id, image.project) == (picture, job.id, "demo")


async def test_a_large_batch_is_folded_in_parts_and_no_job_is_in_two(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection_documents, "PART", 3)
    jobs = [await insert_job(mongo) for _ in range(5)]
    steps = zip(*(life(job) for job in jobs), strict=True)

    applied = await (await opened(mongo)).apply(
        records([event for step in steps for event in step])
    )

    assert applied == Applied(folded=20)
    assert await offset(mongo) == 20
    stored = await mongo.jobs.find().to_list(None)
    assert [(job["state"]["status"], job["folds"]) for job in stored] == [("succeeded", 1)] * 5


async def test_the_request_part_of_a_job_stays_as_it_was(mongo: Mongo) -> None:
    job = await insert_job(mongo, meta={"kept": True})
    before = await mongo.jobs.find_one({"_id": job.id}, {"state": 0, "folds": 0})

    await (await opened(mongo)).apply(records(life(job)))

    assert await mongo.jobs.find_one({"_id": job.id}, {"state": 0, "folds": 0}) == before


async def test_a_state_goes_on_from_what_is_stored(mongo: Mongo) -> None:
    job = await insert_job(mongo)
    first, second, third, last = life(job)
    store = await opened(mongo)

    await store.apply(records([first, second]))
    assert (await stored_job(mongo, job.id)).status is Status.RUNNING
    await store.apply(records([third, last], start=2))

    run = (await stored_job(mongo, job.id)).current
    assert run.status is Status.SUCCEEDED
    assert run.accepted_at is not None


async def test_a_text_that_looks_like_a_field_s_name_is_stored_as_it_is(mongo: Mongo) -> None:
    job = await insert_job(mongo)
    failure = {"run_id": job.run, "attempt": 1, "reason": "poison", "message": "$project"}
    event = GenerationFailed(**envelope(job), data=FailedData(**failure))

    await (await opened(mongo)).apply(records([event]))

    run = (await stored_job(mongo, job.id)).current
    assert run.failure == Failure(code="poison", message="$project")


async def test_a_retry_leaves_nothing_of_the_end_that_is_no_longer_shown(mongo: Mongo) -> None:
    job = await insert_job(mongo)
    again = job.model_copy(update={"run": uuid4(), "run_number": 2})
    store = await opened(mongo)
    await store.apply(records([failed(job)]))

    await store.apply(records([started(again)], start=1))

    found = await mongo.jobs.find_one({"_id": job.id})
    assert found is not None
    assert "ended_at" not in found["state"]
    assert set(found["state"]["runs"]) == {str(job.run), str(again.run)}


async def test_one_that_was_overtaken_hears_so_and_undoes_nothing(mongo: Mongo) -> None:
    job = await insert_job(mongo)
    zombie, store = await opened(mongo), await opened(mongo)
    await zombie.apply(records(life(job)[:1]))  # and remembers the job as pending
    store.forget()
    await store.positions([PARTITION])
    await store.apply(records(life(job)[1:], start=1))
    before = await everything(mongo)

    with pytest.raises(OffsetsMoved):
        await zombie.apply(records(life(job)[1:3], start=1))

    assert await everything(mongo) == before
    assert await offset(mongo) == 4


async def test_outcomes_that_their_workers_have_shown_are_looked_up_not_guessed(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [await insert_job(mongo) for _ in range(2)]
    first, second = [life(job) for job in jobs]
    store, worker = await opened(mongo), FoldedDocuments(mongo)
    for job, events in zip(jobs, (first, second), strict=True):
        await store.apply(records(events[:2]))
        (told,) = life_of(records(events[-1:]))
        await worker.fold([Told(job.id, told)])
    await store.apply(records(first[-1:]))
    before = await everything(mongo)
    written: list[object] = []
    monkeypatch.setattr(store._documents, "_insert_missing", written.append)
    monkeypatch.setattr(projection_documents, "_update", lambda *update: written.append(update))

    assert await store.apply(records(second[-1:])) == Applied(folded=1)

    assert await everything(mongo) == before
    assert written == []


async def test_what_was_shown_in_haste_is_made_sure_of(mongo: Mongo) -> None:
    """A server that fails between two writes of the worker may forget the first."""
    job = await insert_job(mongo, flow_id=uuid4())
    await mongo.flows.insert_one({"_id": job.flow_id, "project": "demo"})
    log = records(life(job))
    worker = FoldedDocuments(mongo, hasty=True)
    await worker.fold([Told(job.id, event) for event in life_of(log)])
    shown = await everything(mongo)
    await mongo.images.delete_many({"job_id": job.id})
    await mongo.flows.update_one({"_id": job.flow_id}, {"$unset": {"activity": ""}})

    await (await opened(mongo)).apply(log)

    assert await everything(mongo) == shown


async def test_two_that_write_a_job_at_once_lose_nothing(mongo: Mongo) -> None:
    for _ in range(20):
        job = await insert_job(mongo)
        events = [*life(job)[:3], *(progress(job, percent) for percent in (60, 70, 80))]
        parts = [FoldedDocuments(mongo) for _ in range(3)]
        told = [Told(job.id, event) for event in life_of(records(events))]

        await asyncio.gather(
            *(part.fold(told[n : n + 1]) for n, part in enumerate(parts)),
            *(part.fold(told[n + 3 : n + 4]) for n, part in enumerate(parts)),
        )

        run = (await stored_job(mongo, job.id)).current
        assert run.accepted_at is not None
        assert run.started_at is not None
        assert run.progress.percent == 80


async def test_who_dies_between_the_fold_and_the_offsets_is_made_up_for(mongo: Mongo) -> None:
    job = await insert_job(mongo, flow_id=uuid4())
    await mongo.flows.insert_one({"_id": job.flow_id, "project": "demo"})
    log = records(life(job))
    await FoldedDocuments(mongo).fold([Told(job.id, event) for event in life_of(log)])
    before = await everything(mongo)

    applied = await (await opened(mongo)).apply(log)

    assert applied == Applied(folded=4)
    assert await everything(mongo) == before
    assert await offset(mongo) == 4
    assert await mongo.quarantine.count_documents({}) == 0


def life_of(log: Sequence[Record]) -> list[GenerationEvent]:
    return [EVENTS.validate_json(record.value) for record in log]


async def test_one_that_was_overtaken_goes_on_from_the_stored_offset(mongo: Mongo) -> None:
    job, other = await insert_job(mongo), await insert_job(mongo)
    late, store = await opened(mongo), await opened(mongo)
    await store.apply(records(life(job)))

    late.forget()
    assert await late.positions([PARTITION]) == {PARTITION: 4}
    await late.apply(records(life(other), start=4))

    assert (await stored_job(mongo, other.id)).status is Status.SUCCEEDED


async def test_the_whole_log_again_changes_nothing(mongo: Mongo) -> None:
    job = await insert_job(mongo, flow_id=uuid4())
    await mongo.flows.insert_one({"_id": job.flow_id, "project": "demo"})
    store = await opened(mongo)
    log = records(life(job))
    await store.apply(log)
    await mongo.images.update_many({}, {"$set": {"marks.deleted_at": job.created_at}})
    before = await everything(mongo)

    await mongo.offsets.delete_many({})
    await (await opened(mongo)).apply(log)

    assert await everything(mongo) == before


async def everything(mongo: Mongo) -> list[Document]:
    found: list[Document] = []
    for collection in (mongo.jobs, mongo.images, mongo.flows):
        found += await collection.find().sort("_id", 1).to_list(None)
    return found


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\xff not JSON", "json_invalid at /"),
        (b'{"type": "dev.darkroom.generation.completed.v2"}', "union_tag_invalid at /"),
        (b"", "json_invalid at /"),
    ],
)
async def test_what_cannot_be_read_is_set_aside_and_its_neighbours_are_not(
    mongo: Mongo, message: bytes, reason: str
) -> None:
    job = await insert_job(mongo)
    store = await opened(mongo)

    applied = await store.apply(records([accepted(job), message, started(job)]))

    assert applied == Applied(folded=2, quarantined=1)
    kept = await mongo.quarantine.find_one({"_id": f"{PARTITION}:1"})
    assert kept is not None
    assert (kept["value"], kept["reason"]) == (message, reason)
    assert (await stored_job(mongo, job.id)).status is Status.RUNNING
    assert await offset(mongo) == 3


async def test_the_reason_holds_none_of_the_text(mongo: Mongo) -> None:
    secret = accepted(await insert_job(mongo)).encode().replace(b'"standard"', b'"secret"')

    await (await opened(mongo)).apply(records([secret]))

    kept = await mongo.quarantine.find_one({})
    assert kept is not None
    assert "secret" not in kept["reason"]
    assert "/tier" in kept["reason"]


@pytest.mark.parametrize("part", [projection_documents.PART, 1])
async def test_a_record_that_breaks_the_fold_stands_alone(
    mongo: Mongo, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(projection_documents, "PART", part)
    jobs = [await insert_job(mongo) for _ in range(4)]
    same_path = [completed(job, path="generated/same.png") for job in jobs[1:3]]
    store = await opened(mongo)

    applied = await store.apply(records([completed(jobs[0]), *same_path, completed(jobs[3])]))

    assert applied == Applied(folded=3, quarantined=1)
    states = [(await stored_job(mongo, job.id)).status for job in jobs]
    assert states.count(Status.SUCCEEDED) == 3
    (kept,) = await mongo.quarantine.find().to_list(None)
    assert kept["_id"] in (f"{PARTITION}:1", f"{PARTITION}:2")  # who comes first has the path
    assert kept["reason"] == "breaks the fold: BulkWriteError"
    assert await offset(mongo) == 4


async def test_what_was_set_aside_is_read_again_by_a_version_that_can(mongo: Mongo) -> None:
    job = await insert_job(mongo)
    for place, event in enumerate((accepted(job), completed(job))):
        await mongo.quarantine.insert_one({"_id": f"old:0:{place}", "value": event.encode()})
    await mongo.quarantine.insert_one({"_id": "old:0:9", "value": b"still not JSON"})

    applied = await (await opened(mongo)).feed_quarantine()

    assert applied == Applied(folded=2)
    assert (await stored_job(mongo, job.id)).status is Status.SUCCEEDED
    assert [kept["_id"] async for kept in mongo.quarantine.find()] == ["old:0:9"]


async def test_events_of_jobs_that_are_not_there_are_counted_and_leave_nothing(
    mongo: Mongo,
) -> None:
    job = await insert_job(mongo)
    foreign = job.model_copy(update={"project": "other"})
    purged = job.model_copy(update={"id": uuid4()})
    store = await opened(mongo)

    applied = await store.apply(records([*life(foreign), *life(purged)]))

    assert applied == Applied(missing=8)
    assert (await stored_job(mongo, job.id)).state == job.state
    assert await mongo.jobs.count_documents({}) == 1
    assert await mongo.images.count_documents({}) == 0


async def test_a_purged_image_stays_a_tombstone(mongo: Mongo) -> None:
    job, image = await insert_job(mongo), uuid4()
    tombstone = {"_id": image, "project": "demo", "marks": {"purged_at": job.created_at}}
    await mongo.images.insert_one(tombstone)

    await (await opened(mongo)).apply(records([completed(job, image)]))

    assert await mongo.images.find_one({"_id": image}) == tombstone


async def test_a_flow_shows_its_latest_picture_in_whatever_order_they_come(mongo: Mongo) -> None:
    flow = uuid4()
    await mongo.flows.insert_one({"_id": flow, "project": "demo"})
    early = await insert_job(mongo, flow_id=flow)
    late_time = early.created_at + timedelta(seconds=5)
    late = await insert_job(mongo, flow_id=flow, created_at=late_time)
    image = uuid4()
    store = await opened(mongo)

    await store.apply(records([completed(late, image), completed(early)]))
    await store.apply(records([completed(early)], start=2))

    found = await mongo.flows.find_one({"_id": flow})
    assert found is not None
    assert found["activity"] == {"last_completed_at": late_time, "last_image_id": image}
