"""library.events: in a project's order, whatever dies or is away; and what a purge leaves."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import cast
from uuid import uuid4

import pytest

from schemas.common import now
from schemas.jobs import Status
from schemas.queue import QueueRow, RowState
from services.broker import Publisher
from services.errors import GenerationNotFound, ImageNotFound, Unavailable
from services.library.feed import Feed
from services.library.flows import Flows
from services.library.images import ImageFilter
from services.library.marks import ImageMarks, MarkChanges
from services.library.publication import Publication
from services.library.whole import Library
from services.mongo import Mongo
from services.object_store import S3ObjectStore
from services.queue_rows import row_document
from services.read_model import ReadModel
from services.settings import Settings
from tests.connected import projection_parts as events
from tests.connected.library_parts import completed, library_database, uploaded
from tests.connected.library_world import World
from tests.connected.queue_parts import SPEC, RememberingPublisher

pytestmark = pytest.mark.connected


@pytest.fixture(scope="module")
async def mongo(stack: Settings) -> AsyncIterator[Mongo]:
    async with library_database(stack) as mongo:
        yield mongo


@pytest.fixture
def project() -> str:
    return f"test-{uuid4()}"


def sequences(kafka: RememberingPublisher, project: str) -> list[int]:
    told = [json.loads(value) for _, key, value in kafka.sent if key == project]
    return [int(event["data"]["sequence"]) for event in told]


def publication(mongo: Mongo, kafka: RememberingPublisher) -> Publication:
    return Publication(mongo, cast(Publisher, kafka))


async def test_changes_at_two_processes_are_numbered_without_a_gap(
    mongo: Mongo, project: str
) -> None:
    apis = Flows(mongo, Feed(mongo)), Flows(mongo, Feed(mongo))
    kafka = RememberingPublisher()

    await asyncio.gather(*(apis[n % 2].create(project, {}) for n in range(20)))
    await publication(mongo, kafka).publish()

    assert sequences(kafka, project) == list(range(1, 21))
    assert await mongo.library_outbox.count_documents({"project": project}) == 0


async def test_an_outage_holds_a_project_back_in_its_order(mongo: Mongo, project: str) -> None:
    flows, kafka = Flows(mongo, Feed(mongo)), RememberingPublisher()
    for _ in range(3):
        await flows.create(project, {})
    kafka.outages = [TimeoutError()]

    with pytest.raises(TimeoutError):
        await publication(mongo, kafka).publish()
    await publication(mongo, kafka).publish()

    assert sequences(kafka, project) == [1, 2, 3]


async def test_two_outboxes_at_once_tell_nothing_too_early(mongo: Mongo, project: str) -> None:
    flows, kafka = Flows(mongo, Feed(mongo)), RememberingPublisher()
    for _ in range(30):
        await flows.create(project, {})

    await asyncio.gather(*(publication(mongo, kafka).publish() for _ in range(2)))

    heard = sequences(kafka, project)
    assert list(dict.fromkeys(heard)) == list(range(1, 31))


async def test_no_free_text_is_told(mongo: Mongo, project: str) -> None:
    image = await uploaded(mongo, project)
    kafka = RememberingPublisher()

    await ImageMarks(mongo, Feed(mongo)).update(
        project, image.id, MarkChanges(meta={"note": "a secret garden"})
    )
    await publication(mongo, kafka).publish()

    (told,) = [value for _, key, value in kafka.sent if key == project]
    assert b"garden" not in told
    assert len(json.loads(told)["data"]["meta_sha256"]) == 64


class Absent:
    """S3 that is away, until it is back."""

    def __init__(self) -> None:
        self.away = True
        self.deleted: list[str] = []

    async def delete(self, key: str) -> None:
        if self.away:
            raise Unavailable
        self.deleted.append(key)


async def nobody(*_: object) -> None:
    return


def library_of(mongo: Mongo, store: Absent) -> Library:
    return Library(mongo, Feed(mongo), cast(S3ObjectStore, store), nobody)


async def test_a_purge_is_decided_though_s3_is_away_and_ends_when_it_is_back(
    mongo: Mongo, project: str
) -> None:
    image, store = await uploaded(mongo, project), Absent()
    library = library_of(mongo, store)

    await library.purging.image(project, image.id)

    with pytest.raises(ImageNotFound):
        await library.images.get(project, image.id, include_deleted=True)
    everything = ImageFilter(include_deleted=True)
    assert (await library.images.page(project, everything, 10, 0)).total == 0
    assert await ReadModel(mongo).purged(image.id)
    assert await ReadModel(mongo).image(image.id) is None
    with pytest.raises(Unavailable):
        await library.purging.sweep()
    store.away = False
    await library.purging.sweep()
    assert store.deleted == [image.picture.relative_path]
    assert await mongo.removals.count_documents({"_id": image.id}) == 0


async def test_a_purged_generation_takes_the_objects_of_every_attempt(
    mongo: Mongo, project: str
) -> None:
    job = await events.insert_job(mongo, project=project)
    image = await completed(mongo, job)
    store = Absent()
    store.away = False
    row = QueueRow(
        id=job.run,
        job=job.id,
        project=project,
        state=RowState.DONE,
        uploads=("generated/lost.png",),
        spec=SPEC,
    )
    await mongo.queue.insert_one(row_document(row))
    library = library_of(mongo, store)

    await library.purging.generation(project, job.id)

    assert set(store.deleted) == {"generated/lost.png", f"generated/{image}.png"}
    with pytest.raises(GenerationNotFound):
        await library.generations.get(project, job.id, include_deleted=True)
    assert await ReadModel(mongo).purged(image)
    stored = await mongo.images.find_one({"_id": image})
    assert stored is not None
    assert set(stored) == {"_id", "project", "marks"}


async def test_the_whole_log_again_raises_no_purged_picture(mongo: Mongo, project: str) -> None:
    job = await events.insert_job(mongo, project=project)
    image = await completed(mongo, job)
    store = Absent()
    store.away = False
    library = library_of(mongo, store)
    await library.purging.image(project, image)
    await mongo.jobs.update_one({"_id": job.id}, {"$set": {"state.runs": {}}})

    again = await events.stored_job(mongo, job.id)
    world = World(mongo)
    world.log = [events.completed(again, image)]  # type: ignore[list-item]
    await world.project(None)

    assert (await events.stored_job(mongo, job.id)).status is Status.SUCCEEDED
    assert await ReadModel(mongo).purged(image)


async def test_a_late_picture_of_a_deleted_generation_is_hidden_by_the_sweep(
    mongo: Mongo, project: str
) -> None:
    job = await events.insert_job(mongo, project=project)
    library = library_of(mongo, Absent())
    await library.deletion.delete(project, job.id)
    await completed(mongo, job)
    assert (await library.images.page(project, ImageFilter(), 10, 0)).total == 1

    await library.deletion.sweep()

    assert (await library.images.page(project, ImageFilter(), 10, 0)).total == 0
    assert await mongo.removals.count_documents({"_id": job.id}) == 0


async def test_pictures_of_a_deleted_flow_belong_to_none_those_that_come_later_too(
    mongo: Mongo, project: str
) -> None:
    library = library_of(mongo, Absent())
    flow = (await library.flows.create(project, {})).flow.id
    early, late = [
        await events.insert_job(
            mongo, project=project, flow_id=flow, created_at=now() - timedelta(seconds=n)
        )
        for n in range(2)
    ]
    await completed(mongo, early)

    await library.flows.delete(project, flow)
    await completed(mongo, late)

    page = await library.images.page(project, ImageFilter(), 10, 0)
    assert [image.flow_id for image in page.items] == [None, None]
    assert (await library.generations.get(project, late.id)).flow_id is None
    assert (await library.images.page(project, ImageFilter(flow_id=flow), 10, 0)).total == 0
