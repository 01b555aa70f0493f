"""How long a picture takes and a run waits: medians of what was measured, and the queue ahead.

The generator notes durations, the API reads them together with the queue once a second and adds
what it has admitted since; an estimate itself asks nobody.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from statistics import median
from time import monotonic
from typing import Final

from pymongo import UpdateOne

from schemas.common import Value, now
from schemas.jobs import GenerationSpec, Job, Lane, Tier
from schemas.queue import RowState
from services.arrivals import Arrivals
from services.engine.catalogue import Catalogue
from services.mongo import Document, Mongo
from services.queue_depth import UNDECIDED
from services.standing import Runs, Standing, Waits

KEPT: Final = 5  #: durations of each kind of picture: a machine's pace changes within minutes
WORKERS: Final = "workers"  #: the document that tells who generates
SILENT_AFTER: Final = timedelta(seconds=15)  #: a worker not heard of since is gone
REFRESHED_EVERY: Final = timedelta(seconds=1)


class Kind(Value):
    """What pictures must share to take about as long."""

    model: str
    tier: Tier
    width: int
    height: int

    @classmethod
    def of(cls, spec: GenerationSpec) -> "Kind":
        return cls(model=spec.model, tier=spec.tier, width=spec.width, height=spec.height)

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def distance(self, other: "Kind") -> tuple[bool, int]:
        return (other.tier != self.tier, abs(other.pixels - self.pixels))


class Durations:
    """The generator's side: what a picture took, and that this worker is there."""

    def __init__(self, mongo: Mongo, worker: str) -> None:
        self._durations = mongo.durations
        self._worker = worker.replace(".", "_").replace("$", "_")
        self._noted: defaultdict[Kind, list[float]] = defaultdict(list)

    def note(self, spec: GenerationSpec, generation_seconds: float) -> None:
        """For the next `write`: no run waits for an estimate."""
        self._noted[Kind.of(spec)].append(generation_seconds / spec.num_images)

    async def write(self) -> None:
        """What was noted since the last time; an outage may take it."""
        noted, self._noted = self._noted, defaultdict(list)
        if noted:
            await self._durations.bulk_write([_pushed(*each) for each in noted.items()])

    async def beat(self) -> None:
        await self._durations.update_one(
            {"_id": WORKERS}, {"$currentDate": {f"seen.{self._worker}": True}}, upsert=True
        )


def _pushed(kind: Kind, seconds: Sequence[float]) -> UpdateOne:
    return UpdateOne(
        {"_id": f"{kind.model}:{kind.tier}:{kind.width}x{kind.height}"},
        {
            "$set": {"kind": kind.model_dump()},
            "$push": {"seconds": {"$each": seconds, "$slice": -KEPT}},
        },
        upsert=True,
    )


class Estimates:
    """The API's side. None where nothing was measured yet."""

    def __init__(
        self, mongo: Mongo, catalogue: Catalogue, clock: Callable[[], float] = monotonic
    ) -> None:
        self._mongo = mongo
        self._catalogue = catalogue
        self._medians: dict[Kind, float] = {}
        self._standing = Standing({}, held=0.0, weights={})
        self._arrivals = Arrivals(clock)
        self._workers = 1

    async def refresh(self) -> None:
        medians: dict[Kind, float] = {}
        async for document in self._mongo.durations.find({"_id": {"$ne": WORKERS}}):
            medians[Kind.model_validate(document["kind"])] = median(document["seconds"])
        self._medians = medians
        self._workers = max(await self._alive(), 1)
        found = self._mongo.queue.find({"_id": {"$in": self._arrivals.awaited()}}, {"_id": 1})
        arrived = [row["_id"] async for row in found]
        self._standing = await self._read_queue()
        self._arrivals.queue_read(arrived)

    def admitted(self, jobs: Sequence[Job]) -> None:
        """They are ahead of the next, though their rows are not in the queue yet."""
        for job in jobs:
            seconds = self.own_seconds(job.spec) or 0.0
            self._arrivals.note(job.run, _waits(job.project, job.lane), seconds)

    def picture_seconds(self, kind: Kind) -> float | None:
        """Of one picture; of another size or tier, in proportion to pixels and steps."""
        if kind in self._medians:
            return self._medians[kind]
        known = [other for other in self._medians if other.model == kind.model]
        tiers = {model.id: model.tiers for model in self._catalogue.models}.get(kind.model)
        if not known or tiers is None:
            return None
        nearest = min(known, key=kind.distance)
        steps = tiers[kind.tier].num_inference_steps / tiers[nearest.tier].num_inference_steps
        return self._medians[nearest] * steps * kind.pixels / nearest.pixels

    def seconds(self, project: str, spec: GenerationSpec, lane: Lane) -> float | None:
        """From now to the pictures: what is ahead in the queue, shared by the workers, and own."""
        (expected,) = self.one_after_another(project, [(spec, lane)])
        return expected

    def one_after_another(
        self, project: str, asked: Sequence[tuple[GenerationSpec, Lane]]
    ) -> tuple[float | None, ...]:
        """As `seconds`, of each of a batch: those before it in its lane are ahead of it, too."""
        passed = [0.0] * len(Lane)
        expected: list[float | None] = []
        for spec, lane in asked:
            own, waits = self.own_seconds(spec), _waits(project, lane)
            passed[waits.lane] += own or 0.0
            shared = max(own or 0.0, sum(passed[: waits.lane + 1]) / self._workers)
            work = self._ahead(waits, passed[waits.lane]) + shared
            seconds = self._arrivals.delayed(work, waits.lane, self._workers)
            expected.append(None if own is None else round(seconds, 2))
        return tuple(expected)

    def own_seconds(self, spec: GenerationSpec) -> float | None:
        """Of all its pictures, on a worker that is free."""
        model = self._catalogue.find(spec.model).id  # "default" was measured under its own name
        own = self.picture_seconds(Kind.of(spec).model_copy(update={"model": model}))
        return None if own is None else own * spec.num_images

    def ahead_seconds(self, project: str, lane: Lane) -> float:
        """Until what the project has in the queue is done."""
        return self._ahead(_waits(project, lane), 0.0)

    def _ahead(self, waits: Waits, own: float) -> float:
        """What waits, but for what the fair order leaves for after `own` more seconds of it."""
        backlog = self._arrivals.backlog(self._standing, waits.lane, self._workers)
        before = self._standing.of(waits) + self._arrivals.of(waits) + own
        return max(backlog - self._standing.after(waits, before), 0.0) / self._workers

    @property
    def workers(self) -> int:
        return self._workers

    async def _alive(self) -> int:
        document = await self._mongo.durations.find_one({"_id": WORKERS})
        since = now() - SILENT_AFTER
        return sum(seen > since for seen in (document or {}).get("seen", {}).values())

    async def _read_queue(self) -> Standing:
        """What a worker holds gives way to nobody, whatever its lane; half of it is done."""
        kinds = (f"spec.{name}" for name in (*Kind.model_fields, "num_images"))
        parts = ("state", "lane", "project", *kinds)
        pipeline: list[Document] = [
            {"$match": {"state": {"$in": list(UNDECIDED)}}},
            {
                "$group": {
                    "_id": {name.removeprefix("spec."): f"${name}" for name in parts},
                    "runs": {"$sum": 1},
                }
            },
        ]
        held = 0.0
        waiting: dict[Waits, Runs] = defaultdict(Runs)
        async for group in await self._mongo.queue.aggregate(pipeline):
            kind, runs = group["_id"], group["runs"]
            picture = self.picture_seconds(Kind.model_validate(kind)) or 0.0
            seconds = picture * kind["num_images"]
            if kind["state"] == RowState.LEASED:
                held += seconds * runs / 2
            else:
                waits = Waits(kind["lane"], kind["project"])
                waiting[waits] = waiting[waits].and_another(seconds, runs)
        found = self._mongo.tenants.find({"weight": {"$exists": True, "$ne": 1.0}}, {"weight": 1})
        weights = {tenant["_id"]: tenant["weight"] async for tenant in found}
        return Standing(waiting, held, weights)


def _waits(project: str, lane: Lane) -> Waits:
    return Waits(tuple(Lane).index(lane), project)
