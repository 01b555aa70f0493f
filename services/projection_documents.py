"""Events in, changed documents out: jobs' states, facts of images, activity of flows.

No transaction: a state is a join of events, so whoever writes it, however late or often, only adds
what is true. One thing may not happen: that a write is lost under another's. So each is a
compare-and-set on the document's own `folds`, and who comes too late reads and folds again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, cast
from uuid import UUID

from bson.errors import BSONError
from pymongo import UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError

from schemas.common import now
from schemas.events import GenerationEvent, TerminalEvent
from schemas.images import Image
from schemas.jobs import JobState
from services.library.totals import LATE, disturb
from services.mongo import Document, Mongo, unconfirmed
from services.projection import FlowActivity, activity_of, fold, images_of
from services.records import Told

Key = tuple[UUID, str]  #: job and project: nobody's event reaches the job of another project
Events = dict[Key, list[GenerationEvent]]

FRESH: Final = JobState()
REMEMBERED: Final = 10_000  #: jobs under way whose state need not be read before the next event
PART: Final = 500  #: events that are written together; smaller ones cost more trips each
DUPLICATE: Final = 11000
#: What a record can be to blame for, in our code or, by its code, in the server's answer.
FAULTS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BSONError,
    BulkWriteError,
    LookupError,
    TypeError,
    ValueError,
)


class Folded(NamedTuple):
    """What a document says; `folds` counts the writes of its state."""

    state: JobState
    folds: int


class FoldedDocuments:
    """Written by any number at once: what is remembered is a guess that the write checks."""

    def __init__(self, mongo: Mongo, *, hasty: bool = False) -> None:
        """`hasty`: for a majority wait with the states alone, whose readers then see the rest too.

        What a failing server may forget in between is made sure of by one that is not.
        """
        self._mongo = mongo
        self._images, self._flows = mongo.images, mongo.flows
        if hasty:
            self._images, self._flows = unconfirmed(mongo.images), unconfirmed(mongo.flows)
        self._remembered: dict[Key, Folded] = {}
        self._shown = False  #: the last outcomes were there before us: their workers are quicker

    def forget(self) -> None:
        self._remembered.clear()

    async def fold(self, told: Sequence[Told]) -> int:
        """Write what the events change and return how many were of jobs that are there.

        While one part waits for the database another is folded; no job is in two of them.
        """
        parts = [self._fold(part) for part in _parts(told)]
        outcomes = await asyncio.gather(*parts, return_exceptions=True)  # none is left behind
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return sum(cast(Sequence[int], outcomes))

    async def look(self, job: UUID, project: str) -> None:
        """Have a document at hand for a fold that follows soon and has no time to lose."""
        for key, folded in (await self._read([(job, project)])).items():
            self._remember(key, folded)

    async def _fold(self, events: Events) -> int:
        if self._shown:
            self._forget_ended(events)
        before = await self._known(events)
        after = self._after(before, events)
        told = [event for key in before for event in events[key]]
        images = await self._missing(
            [image for event in told for image in images_of(event)], {*_changed(before, after)}
        )
        await self._disturb(before, after, images)
        await self._write_facts(told, images)  # a picture is in `images` before its job shows it
        while not await self._write_states(before, after):
            before = await self._known(before)
            after = self._after(before, events)
            await self._disturb(before, after, images)
        return sum(len(events[key]) for key in before)

    def _forget_ended(self, events: Events) -> None:
        """A guess that would be wrong costs more than to look."""
        for key, heard in events.items():
            if any(isinstance(event, TerminalEvent) for event in heard):
                self._remembered.pop(key, None)

    def _after(self, before: dict[Key, Folded], events: Events) -> dict[Key, JobState]:
        after = {key: fold(folded.state, *events[key]) for key, folded in before.items()}
        if ended := [key for key, state in after.items() if state.status.terminal]:
            self._shown = all(after[key] is before[key].state for key in ended)
        return after

    async def _known(self, keys: Iterable[Key]) -> dict[Key, Folded]:
        """Taken out of memory until a write has shown that it was right."""
        known, unknown = {}, []
        for key in keys:
            if (folded := self._remembered.pop(key, None)) is None:
                unknown.append(key)
            else:
                known[key] = folded
        return known | await self._read(unknown) if unknown else known

    async def _read(self, keys: Sequence[Key]) -> dict[Key, Folded]:
        wanted = {"_id": {"$in": list({job for job, _ in keys})}}
        fields = {"project": 1, "state": 1, "folds": 1}
        cursor = self._mongo.jobs.find(wanted, fields, batch_size=len(keys) + 1)  # in one trip
        found = {
            (document["_id"], document["project"]): Folded(
                _state(document["state"]), document.get("folds", 0)
            )
            for document in await cursor.to_list(None)
        }
        return {key: found[key] for key in keys if key in found}

    async def _write_states(self, before: dict[Key, Folded], after: dict[Key, JobState]) -> bool:
        """False when a document was not as it was thought to be: the others are written."""
        if changed := _changed(before, after):
            updates = [_update(key[0], before[key], after[key]) for key in changed]
            written = await self._mongo.jobs.bulk_write(updates, ordered=False)
            if written.modified_count < len(updates):
                return False
        for key, state in after.items():
            if not state.status.terminal:
                known = before[key]
                self._remember(key, Folded(state, known.folds + (state is not known.state)))
        return True

    def _remember(self, key: Key, folded: Folded) -> None:
        self._remembered[key] = folded
        if len(self._remembered) > REMEMBERED:
            del self._remembered[next(iter(self._remembered))]

    async def _disturb(
        self, before: dict[Key, Folded], after: dict[Key, JobState], images: Sequence[Image]
    ) -> None:
        """Ahead of what it tells of: a total that is counted between the two is not kept."""
        changed = [(key[1], before[key].state, state) for key, state in after.items()]
        if behind := _behind(changed, images):
            await disturb(self._mongo, behind)

    async def _write_facts(
        self, events: Sequence[GenerationEvent], images: Sequence[Image]
    ) -> None:
        if images:
            await self._insert_missing(images)
        if activity := [_take_later(fact) for event in events if (fact := activity_of(event))]:
            await self._flows.bulk_write(activity, ordered=False)

    async def _missing(self, images: Sequence[Image], changed: Collection[Key]) -> Sequence[Image]:
        """Where a job shows them already, only those that a mishap took."""
        shown = [each.id for each in images if (each.job_id, each.project) not in changed]
        if not shown:
            return images
        found = self._images.find({"_id": {"$in": shown}}, {"_id": 1})
        there = {document["_id"] for document in await found.to_list(None)}
        return [image for image in images if image.id not in there]

    async def _insert_missing(self, images: Sequence[Image]) -> None:
        """Once, and without the marks, which are the API's; a tombstone stays one."""
        facts = {
            image.id: image.model_dump(by_alias=True, exclude={"marks"}, exclude_none=True)
            for image in images
        }
        try:
            await self._images.insert_many(facts.values(), ordered=False)
        except BulkWriteError as error:
            if not _only_repeats(error):
                raise


def stored(state: JobState) -> Document:
    """As `state` is in a document, where keys are text."""
    dumped = state.model_dump(exclude_none=True)
    return {**dumped, "runs": {str(run): entry for run, entry in dumped["runs"].items()}}


def _parts(told: Sequence[Told]) -> Iterator[Events]:
    events: Events = defaultdict(list)
    for item in told:
        events[item.job, item.event.projectid].append(item.event)
    part, size = {}, 0
    for key, heard in events.items():
        part[key] = heard
        size += len(heard)
        if size >= PART:
            yield part
            part, size = {}, 0
    if part:
        yield part


def _changed(before: dict[Key, Folded], after: dict[Key, JobState]) -> list[Key]:
    return [key for key, state in after.items() if state is not before[key].state]


def _state(stored: Document) -> JobState:
    return JobState.model_validate(stored) if stored.get("runs") else FRESH


def _update(job: UUID, before: Folded, after: JobState) -> UpdateMany:
    """Changes nothing where the document is not as it was thought to be.

    Looked up by `_id` alone, which needs no plan; and many, which the driver doesn't repeat, so
    that the server need not remember it: a repeat of ours is harmless. Together 50 of 120 µs.
    """
    as_known = {"$eq": [{"$ifNull": ["$folds", 0]}, before.folds]}
    written = {"state": {"$literal": stored(after)}, "folds": before.folds + 1}
    changes = {name: {"$cond": [as_known, new, f"${name}"]} for name, new in written.items()}
    return UpdateMany({"_id": job}, [{"$set": changes}])


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


def _only_repeats(error: BulkWriteError) -> bool:
    """Whether nothing is wrong but that some ids are there already."""
    details = error.details or {}
    return not details.get("writeConcernErrors") and all(
        failure["code"] == DUPLICATE and "_id" in failure.get("keyPattern", {})
        for failure in details["writeErrors"]
    )


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
