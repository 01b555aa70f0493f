"""What is live and what was rebuilt -> every difference that is one, page by page."""

from collections.abc import AsyncIterator, Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from schemas.common import Value
from schemas.images import ImageSource
from schemas.jobs import Progress
from services.mongo import Collection, Document
from services.projection import distance
from services.rebuild import PATIENCE, Rebuild
from services.redelivery import waited_out

PAGE: Final = 1000  #: documents
SUSPECTS: Final = 10_000  #: looked at again together
LOOKS: Final = 10  #: at a document that changes every time


class Kind(StrEnum):
    DIFFERENT = "different"
    MISSING = "missing"  #: the log tells of it
    SURPLUS = "surplus"  #: the log doesn't


class Found(NamedTuple):
    """What the projector writes of a document, as it is live and as it was rebuilt."""

    collection: str
    id: UUID
    project: str
    live: Document | None
    rebuilt: Document | None
    folds: int = 0  #: of the live state: how often it was written

    @property
    def kind(self) -> Kind:
        if self.live is None:
            return Kind.MISSING
        return Kind.DIFFERENT if self.rebuilt is not None else Kind.SURPLUS


class Change(Value):
    field: str  #: its path
    live: JsonValue = None
    rebuilt: JsonValue = None


class Comparison:
    """Live documents go on changing: what differs is looked at again once both have caught up.

    What differs and has not changed in between is a difference: the rebuilt one has all of the
    log that the live one had at the first look, and the live one all that the rebuilt one has.
    """

    def __init__(self, rebuild: Rebuild) -> None:
        self.jobs = 0
        self.images = 0
        self.under_way = 0  #: changed at every look
        self._rebuild = rebuild
        self._live, self._side, self._told = rebuild.live, rebuild.side, rebuild.told

    async def differences(self) -> AsyncIterator[Found]:
        await self._rebuild.catch_up()
        suspects: dict[UUID, Found] = {}
        async for found in self._all():
            suspects[found.id] = found
            if len(suspects) >= SUSPECTS:
                async for sure in self._confirmed(suspects):
                    yield sure
                suspects = {}
        async for sure in self._confirmed(suspects):
            yield sure

    async def _all(self) -> AsyncIterator[Found]:
        jobs = await self._live.jobs.estimated_document_count()
        async for page in _pages(self._live.jobs, {}):
            for found in await self._look_at_jobs(page):
                yield found
            self.jobs += len(page)
            self._told("comparing jobs", min(self.jobs / max(jobs, 1), 1.0))
        images = await self._side.images.estimated_document_count()
        async for page in _pages(self._side.images, {}):
            for found in await self._look_at_images(page):
                yield found
            self.images += len(page)
            self._told("comparing images", min(self.images / max(images, 1), 1.0))
        async for page in _pages(self._live.images, {"source": ImageSource.GENERATED}):
            for found in await self._look_at_images(page):
                if found.kind is Kind.SURPLUS:  # else it was looked at already
                    yield found

    async def _confirmed(self, suspects: dict[UUID, Found]) -> AsyncIterator[Found]:
        for _ in range(LOOKS):
            if not suspects:
                return
            await self._rebuild.catch_up()
            changed: dict[UUID, Found] = {}
            async for again in self._again(suspects.values()):
                if _same(again, suspects[again.id]):
                    yield again
                else:
                    changed[again.id] = again
            suspects = changed
        self.under_way += len(suspects)

    async def _again(self, suspects: Iterable[Found]) -> AsyncIterator[Found]:
        for name, look in (("jobs", self._look_at_jobs), ("images", self._look_at_images)):
            ids = [found.id for found in suspects if found.collection == name]
            for start in range(0, len(ids), PAGE):
                for found in await look(ids[start : start + PAGE]):
                    yield found

    async def _look_at_jobs(self, ids: Sequence[UUID]) -> list[Found]:
        """One that is not rebuilt was admitted since; one that is not live was purged."""
        wanted = {"project": 1, "state": 1, "folds": 1}
        live, side = await _read(self._live.jobs, ids, wanted), await _read(self._side.jobs, ids)
        found = []
        for job, document in live.items():
            state = _told_of(document.get("state", {}))
            rebuilt = _told_of(side[job]["state"]) if job in side else None
            if rebuilt is not None and not self._rebuild.progress_whole:
                rebuilt = _with_expired_progress(rebuilt, state)
            if state != rebuilt:
                folds = document.get("folds", 0)
                found.append(Found("jobs", job, document["project"], state, rebuilt, folds))
        return found

    async def _look_at_images(self, ids: Sequence[UUID]) -> list[Found]:
        """A tombstone is right whatever the log says; so is no picture of a job that is gone."""
        live, side = await _read(self._live.images, ids), await _read(self._side.images, ids)
        missing = [facts["job_id"] for image, facts in side.items() if image not in live]
        there = await _read(self._live.jobs, missing, {"_id": 1}) if missing else {}
        found = []
        for image in ids:
            document, rebuilt = live.get(image), side.get(image)
            marks = (document or {}).pop("marks", {})
            if marks.get("purged_at") or document == rebuilt:
                continue
            known = document or rebuilt or {}
            if document is not None or known["job_id"] in there:
                found.append(Found("images", image, known["project"], document, rebuilt))
        return found


def changes(found: Found) -> list[Change]:
    """Field by field, as JSON."""
    live, rebuilt = (dict(_flat(each)) for each in (found.live, found.rebuilt))
    return [
        Change(field=name, live=live.get(name), rebuilt=rebuilt.get(name))
        for name in sorted(live.keys() | rebuilt.keys())
        if live.get(name) != rebuilt.get(name)
    ]


def _same(again: Found, before: Found) -> bool:
    """Nothing has happened to it; a job that is not rebuilt yet was admitted just now."""
    if again.collection == "jobs" and again.rebuilt is None:
        return False
    return (again.live, again.kind) == (before.live, before.kind)


def _flat(document: object, above: str = "") -> list[tuple[str, JsonValue]]:
    if isinstance(document, dict) and document:
        return [
            pair
            for name, value in document.items()
            for pair in _flat(value, f"{above}.{name}" if above else name)
        ]
    return [(above, to_jsonable_python(document))] if above else []


def _told_of(state: Document) -> Document:
    """Without nulls: what is taken back leaves one, what never was doesn't."""
    return {name: value for name, value in state.items() if value is not None}


def _with_expired_progress(rebuilt: Document, live: Document) -> Document:
    """What generation.progress has told is kept for a day; the live state remembers it longer."""
    runs = {}
    for run, entry in rebuilt["runs"].items():
        seen = live.get("runs", {}).get(run, {}).get("progress") or entry["progress"]
        further = distance(Progress(**seen)) > distance(Progress(**entry["progress"]))
        runs[run] = {**entry, "progress": seen} if further else entry
    return {**rebuilt, "runs": runs}


async def _pages(collection: Collection, wanted: Document) -> AsyncIterator[list[UUID]]:
    last: Document = {}

    async def read() -> list[UUID]:
        found = collection.find(wanted | last, {"_id": 1}).sort("_id", 1).limit(PAGE)
        return [document["_id"] for document in await found.to_list(None)]

    while page := await waited_out(read, "mongo", PATIENCE):
        yield page
        last["_id"] = {"$gt": page[-1]}


async def _read(
    collection: Collection, ids: Sequence[UUID], fields: Document | None = None
) -> dict[UUID, Document]:
    async def read() -> dict[UUID, Document]:
        found = collection.find({"_id": {"$in": list(ids)}}, fields)
        return {document["_id"]: document for document in await found.to_list(None)}

    return await waited_out(read, "mongo", PATIENCE)
