"""Events in, changed documents out: jobs' states, facts of images, activity of flows."""

from collections.abc import Sequence
from uuid import UUID

from pymongo import UpdateOne

from schemas.images import Image
from schemas.jobs import JobState
from services.mongo import Document, Mongo, Session
from services.projection import FlowActivity, activity_of, fold, images_of
from services.records import Told


async def write_fold(mongo: Mongo, told: Sequence[Told], session: Session) -> int:
    """Write what the events change and return how many were of jobs that are there.

    Within a transaction: its snapshot makes sure that nobody else folded since the read.
    """
    states = await _states(mongo, told, session)
    ours = [item for item in told if (item.job, item.event.projectid) in states]
    before = dict(states)
    for item in ours:
        key = item.job, item.event.projectid
        states[key] = fold(states[key], item.event)
    updates = [
        UpdateOne({"_id": key[0]}, {"$set": {"state": state_document(state)}})
        for key, state in states.items()
        if state is not before[key]
    ]
    images = [_insert(image) for item in ours for image in images_of(item.event)]
    activity = [_take_later(fact) for item in ours if (fact := activity_of(item.event))]
    for collection, writes in (
        (mongo.jobs, updates),
        (mongo.images, images),
        (mongo.flows, activity),
    ):
        if writes:
            await collection.bulk_write(writes, ordered=False, session=session)
    return len(ours)


def state_document(state: JobState) -> Document:
    """What is stored in `jobs.state`; BSON's keys are strings."""
    document = state.model_dump(exclude_none=True)
    document["runs"] = {str(run): entry for run, entry in document["runs"].items()}
    return document


async def _states(
    mongo: Mongo, told: Sequence[Told], session: Session
) -> dict[tuple[UUID, str], JobState]:
    """By job and project: nobody's event reaches the job of another project."""
    wanted = {"_id": {"$in": list({item.job for item in told})}}
    cursor = mongo.jobs.find(wanted, {"project": 1, "state": 1}, session=session)
    return {
        (document["_id"], document["project"]): JobState.model_validate(document["state"])
        for document in await cursor.to_list(None)
    }


def _insert(image: Image) -> UpdateOne:
    """Once, and without the marks, which are the API's; a tombstone stays one."""
    facts = image.model_dump(by_alias=True, exclude={"id", "marks"}, exclude_none=True)
    return UpdateOne({"_id": image.id}, {"$setOnInsert": facts}, upsert=True)


def _take_later(fact: FlowActivity) -> UpdateOne:
    """Only over an earlier activity; the image id decides between equals."""
    time, image = fact.activity.last_completed_at, fact.activity.last_image_id
    earlier = [
        {"activity.last_completed_at": None},
        {"activity.last_completed_at": {"$lt": time}},
        {"activity.last_completed_at": time, "activity.last_image_id": {"$lt": image}},
    ]
    return UpdateOne(
        {"_id": fact.flow_id, "project": fact.project, "$or": earlier},
        {"$set": {"activity": fact.activity.model_dump()}},
    )
