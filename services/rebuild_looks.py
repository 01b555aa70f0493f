"""Documents' ids in -> those whose live and rebuilt selves differ at this moment."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from pydantic import JsonValue, ValidationError
from pydantic_core import to_jsonable_python

from schemas.common import Value
from schemas.jobs import Progress
from schemas.queue import RowState
from services.mongo import Collection, Document, Mongo
from services.projection import distance
from services.rebuild import PATIENCE, Rebuild
from services.redelivery import waited_out


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

    @property
    def job(self) -> UUID | None:
        """None when a damaged image doesn't say whose it is."""
        if self.collection == "jobs":
            return self.id
        return (self.rebuilt or self.live or {}).get("job_id")


class Change(Value):
    field: str  #: its path
    live: JsonValue = None
    rebuilt: JsonValue = None


class Looks:
    def __init__(self, rebuild: Rebuild) -> None:
        self._rebuild = rebuild
        self._live, self._side = rebuild.live, rebuild.side

    async def of_jobs(self, ids: Sequence[UUID]) -> list[Found]:
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

    async def of_images(self, ids: Sequence[UUID]) -> list[Found]:
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
            if document is None and rebuilt and rebuilt["job_id"] not in there:
                continue
            project = (rebuilt or document or {}).get("project", "")
            found.append(Found("images", image, project, document, rebuilt))
        return found


async def unpublished(mongo: Mongo, found: Iterable[Found]) -> set[UUID]:
    """The jobs with an outcome that may be shown already and is not known to be on the log."""
    wanted = {
        "job": {"$in": list({each.job for each in found})},
        "state": RowState.DONE,
        "published": False,
    }

    async def read() -> set[UUID]:
        return set(await mongo.queue.distinct("job", wanted))

    return await waited_out(read, "mongo", PATIENCE)


def changes(found: Found) -> list[Change]:
    """Field by field, as JSON."""
    live, rebuilt = (dict(_flat(each)) for each in (found.live, found.rebuilt))
    return [
        Change(field=name, live=live.get(name), rebuilt=rebuilt.get(name))
        for name in sorted(live.keys() | rebuilt.keys())
        if live.get(name) != rebuilt.get(name)
    ]


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
        seen = live.get("runs", {}).get(run, {}).get("progress")
        further = _distance(seen) > _distance(entry["progress"])
        runs[run] = {**entry, "progress": seen} if further else entry
    return {**rebuilt, "runs": runs}


def _distance(progress: object) -> tuple[object, ...]:
    """Of what is damaged: none."""
    try:
        return distance(Progress.model_validate(progress))
    except ValidationError:
        return ()


async def _read(
    collection: Collection, ids: Sequence[UUID], fields: Document | None = None
) -> dict[UUID, Document]:
    async def read() -> dict[UUID, Document]:
        found = collection.find({"_id": {"$in": list(ids)}}, fields)
        return {document["_id"]: document for document in await found.to_list(None)}

    return await waited_out(read, "mongo", PATIENCE)
