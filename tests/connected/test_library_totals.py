"""How many a list has: exact however it was counted, and counted from the start only once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from schemas.common import now
from schemas.events import EVENTS
from schemas.jobs import Job, Status
from services.library import totals
from services.library.feed import Feed
from services.library.generations import GenerationFilter, Generations
from services.library.images import ImageFilter, Images
from services.library.marks import ImageMarks
from services.library.totals import disturb
from services.mongo import Mongo, Session
from services.projection_documents import FoldedDocuments
from services.records import Told
from services.settings import Settings
from tests.conditions import until
from tests.connected import projection_parts as events
from tests.connected.library_parts import library_database
from tests.connected.test_library_lists import image, job, store_jobs

pytestmark = pytest.mark.connected


@pytest.fixture(scope="module")
async def mongo(stack: Settings) -> AsyncIterator[Mongo]:
    async with library_database(stack) as mongo:
        yield mongo


@pytest.fixture(autouse=True)
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "SMALL", 50)


@pytest.fixture
async def project(mongo: Mongo) -> str:
    """It has 100 old images, and its list has been counted."""
    name = f"test-{uuid4()}"
    await mongo.images.insert_many([image(name, place) for place in range(100)])
    assert await images_of(mongo, name) == 100
    assert await mongo.totals.count_documents({"_id": {"$regex": f"^{name} images"}}) == 1
    return name


async def images_of(mongo: Mongo, project: str) -> int:
    page = await Images(mongo).page(project, ImageFilter(), 1, 0)
    return page.total


async def counted_at(mongo: Mongo, project: str) -> object:
    found = await mongo.totals.find_one({"_id": {"$regex": f"^{project} images"}})
    assert found is not None
    return found["counted_at"]


async def fold(mongo: Mongo, event: bytes) -> None:
    told = EVENTS.validate_json(event)
    assert told.subject is not None

    assert await FoldedDocuments(mongo).fold([Told(UUID(told.subject), told)]) == 1


async def test_what_comes_and_goes_is_added_to_what_was_counted(mongo: Mongo, project: str) -> None:
    first = await counted_at(mongo, project)
    fresh = [{**image(project, 0), "created_at": now()} for _ in range(3)]
    await mongo.images.insert_many(fresh)
    marks = ImageMarks(mongo, Feed(mongo))
    old = await mongo.images.find_one(
        {"project": project, "created_at": {"$lt": now() - timedelta(hours=1)}}
    )
    assert old is not None
    await marks.delete(project, old["_id"])
    await marks.delete(project, fresh[0]["_id"])

    assert await images_of(mongo, project) == 101
    assert await counted_at(mongo, project) == first


async def test_what_was_counted_is_believed(mongo: Mongo, project: str) -> None:
    """Otherwise the tests of this file would show nothing."""
    await mongo.totals.update_one(
        {"_id": {"$regex": f"^{project} images"}}, {"$set": {"count": 1000}}
    )

    assert await images_of(mongo, project) == 1000


async def test_a_picture_that_is_folded_late_is_counted(mongo: Mongo, project: str) -> None:
    made = await events.insert_job(mongo, project=project)
    late = made.model_copy(update={"created_at": now() - timedelta(hours=1)})

    await fold(mongo, events.completed(late).encode())

    assert await images_of(mongo, project) == 101


async def test_a_retry_takes_its_job_from_those_that_have_failed(mongo: Mongo) -> None:
    project = f"test-{uuid4()}"
    jobs = [job(project, place, Status.FAILED) for place in range(60)]
    await store_jobs(mongo, jobs)
    failed = GenerationFilter(statuses=(Status.FAILED, Status.CANCELLED))
    assert (await Generations(mongo).page(project, failed, 1, 0)).total == 60
    again = jobs[0].model_copy(update={"run": uuid4(), "run_number": 2})
    moved = {"run": again.run, "run_number": 2, "moved_on": True}
    await mongo.jobs.update_one({"_id": again.id}, {"$set": moved})

    assert (await Generations(mongo).page(project, failed, 1, 0)).total == 59

    await fold(mongo, _second_run(again))
    await Generations(mongo).see_retries()

    assert (await Generations(mongo).page(project, failed, 1, 0)).total == 59
    stored = await mongo.jobs.find_one({"_id": again.id})
    assert stored is not None
    assert "moved_on" not in stored


async def test_after_a_disturbance_all_is_counted_anew(mongo: Mongo, project: str) -> None:
    await mongo.images.delete_many({"project": project, "source": "generated"})
    await mongo.images.insert_many([image(project, place) for place in range(70)])

    async def work(session: Session) -> None:
        await disturb(mongo, [project], session)

    await mongo.transaction(work)

    assert await images_of(mongo, project) == 70


def _second_run(again: Job) -> bytes:
    event = EVENTS.validate_json(events.accepted(again).encode())
    data = event.data.model_copy(update={"run_number": 2})
    return event.model_copy(update={"data": data}).encode()


async def test_a_count_goes_on_when_nobody_waits_for_it_any_more(mongo: Mongo) -> None:
    project = f"test-{uuid4()}"
    await mongo.images.insert_many([image(project, place) for place in range(100)])
    lists = Images(mongo)
    asking = asyncio.create_task(lists.page(project, ImageFilter(), 1, 0))
    await until(lambda: lists._totals._recounts)
    asking.cancel()

    await until(lambda: not lists._totals._recounts)

    assert await mongo.totals.count_documents({"_id": {"$regex": f"^{project} images"}}) == 1
