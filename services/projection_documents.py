"""Events in, changed documents out: jobs' states, facts of images, activity of flows."""

from collections.abc import Sequence
from uuid import UUID

from pymongo import UpdateOne

from schemas.common import now
from schemas.images import Image
from schemas.jobs import JobState
from services.library.totals import LATE, disturb
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
        UpdateOne({"_id": key[0]}, {"$set": _changes(before[key], state)})
        for key, state in states.items()
        if state is not before[key]
    ]
    if updates:
        await mongo.jobs.bulk_write(updates, ordered=False, session=session)
    if images := [image for item in ours for image in images_of(item.event)]:
        await _insert_missing(mongo, images, session)
    changed = [(key[1], before[key], state) for key, state in states.items()]
    if behind := _behind(changed, images):
        await disturb(mongo, behind, session)
    if activity := [_take_later(fact) for item in ours if (fact := activity_of(item.event))]:
        await mongo.flows.bulk_write(activity, ordered=False, session=session)
    return len(ours)


def _behind(changed: Sequence[tuple[str, JobState, JobState]], images: Sequence[Image]) -> set[str]:
    """The projects whose totals no longer hold: what came late, and what a retry has taken back."""
    late = now() - LATE
    projects = {image.project for image in images if image.created_at < late}
    for project, before, after in changed:
        if before.ended_at == after.ended_at:
            continue
        if before.ended_at is not None or (after.ended_at and after.ended_at < late):
            projects.add(project)
    return projects


def _changes(before: JobState, after: JobState) -> Document:
    """Only what differs: a write that leaves `status` alone costs a seventh (no index moves)."""
    changes: Document = {
        f"state.{name}": value
        for name in ("run", "status", "ended_at")
        if (value := getattr(after, name)) != getattr(before, name)
    }
    for run, entry in after.runs.items():
        if entry is not before.runs.get(run):
            changes[f"state.runs.{run}"] = entry.model_dump(exclude_none=True)
    return changes


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


async def _insert_missing(mongo: Mongo, images: Sequence[Image], session: Session) -> None:
    """Once, and without the marks, which are the API's; a tombstone stays one."""
    facts = {
        image.id: image.model_dump(by_alias=True, exclude={"marks"}, exclude_none=True)
        for image in images
    }
    known = mongo.images.find({"_id": {"$in": list(facts)}}, {"_id": 1}, session=session)
    for document in await known.to_list(None):
        del facts[document["_id"]]
    if facts:
        await mongo.images.insert_many(facts.values(), ordered=False, session=session)


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
