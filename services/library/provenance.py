"""A flow's shown outputs, and how things are today: what `staleness` compares."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple
from uuid import UUID

from schemas.jobs import Job, Output, Reference
from schemas.presets import Preset
from services.engine.catalogue import Catalogue
from services.engine.fingerprints import Fingerprints
from services.errors import FlowNotFound, UnknownModel
from services.library.leads import Leads
from services.library.staleness import Built, Today, Used, sources
from services.mongo import Document, Mongo

GENERATIONS_BACK: Final = 100  #: rounds of looking for what pictures of other flows were made from


class Provenance(NamedTuple):
    jobs: Mapping[UUID, Job]  #: of the flow, by their ids
    built: tuple[Built, ...]  #: those that have ended and could be made again
    today: Today
    presets: Mapping[str, Preset]


class Seen(NamedTuple):
    """What was read of jobs and pictures so far; `images` are makers, None for uploads."""

    jobs: dict[UUID, Job]
    images: dict[UUID, UUID | None]
    kept: set[UUID]


class ProvenanceReader:
    def __init__(self, mongo: Mongo, catalogue: Catalogue) -> None:
        self._mongo = mongo
        self._catalogue = catalogue
        self._leads = Leads(mongo)
        self._fingerprints = Fingerprints(catalogue)

    async def of_flow(self, project: str, flow_id: UUID) -> Provenance:
        """Raise `FlowNotFound`."""
        mine = {"_id": flow_id, "project": project}
        if await self._mongo.flows.find_one(mine, {"_id": 1}) is None:
            raise FlowNotFound
        jobs = await self._jobs(project, {"flow_id": flow_id, "deleted_at": None})
        seen = Seen(dict(jobs), {}, set())
        ended = [job for job in jobs.values() if job.status.terminal and job.output]
        leads = await self._resolved(project, flow_id, _aliases(ended))
        await self._close(project, seen, leads.values())
        built = [_built(job, job.output, seen) for job in ended if job.output]
        presets = await self._presets(project, {b.preset.slug for b in built if b.preset})
        today = Today(
            leads=leads,
            makers=dict(_makers(seen)),
            newest=dict(_newest(seen)),
            origins=dict(_origins(seen)),
            models=await self._models({each.model for each in built}),
            presets={slug: preset.version for slug, preset in presets.items()},
        )
        able = tuple(each for each in built if self._able(each, today, seen.kept))
        return Provenance(jobs, able, today, presets)

    def _able(self, built: Built, today: Today, kept: set[UUID]) -> bool:
        """Whether it could be made again: its model and what it is made from are there."""
        try:
            self._catalogue.find(built.model)
        except UnknownModel:
            return False
        return kept.issuperset(sources(built, today))

    async def _close(self, project: str, seen: Seen, more: Iterable[UUID]) -> None:
        """Read whatever pictures were made from, and what that was made from, and so on."""
        for _ in range(GENERATIONS_BACK):
            named = {reference for job in seen.jobs.values() for reference in _references(job)}
            wanted = {each.image_id for each in named if each.image_id} | {*more}
            wanted |= {picture for job in seen.jobs.values() for picture in _shown(job)}
            if new := wanted - seen.images.keys():
                await self._images(project, new, seen)
            makers = {maker for maker in seen.images.values() if maker}
            makers |= {each.job_id for each in named if each.job_id}
            if not (ahead := makers - seen.jobs.keys()):
                return
            found = await self._jobs(project, {"_id": {"$in": list(ahead)}})
            if not found:
                return
            seen.jobs.update(found)

    async def _jobs(self, project: str, wanted: Document) -> dict[UUID, Job]:
        found = self._mongo.jobs.find({**wanted, "project": project})
        return {document["_id"]: Job.model_validate(document) async for document in found}

    async def _images(self, project: str, ids: Collection[UUID], seen: Seen) -> None:
        seen.images.update(dict.fromkeys(ids))
        wanted = {"_id": {"$in": list(ids)}, "project": project}
        async for image in self._mongo.images.find(wanted, {"job_id": 1, "marks": 1}):
            seen.images[image["_id"]] = image.get("job_id")
            marks = image.get("marks", {})
            if not (marks.get("deleted_at") or marks.get("purged_at")):
                seen.kept.add(image["_id"])

    async def _resolved(
        self, project: str, flow_id: UUID, names: Collection[str]
    ) -> dict[str, UUID]:
        asked = (self._leads.resolve(project, name, flow_id) for name in names)
        leads = zip(names, await asyncio.gather(*asked), strict=True)
        return {name: lead.image_id for name, lead in leads if lead and lead.image_id}

    async def _models(self, names: Collection[str]) -> dict[str, str]:
        return {name: sha256 for name in names if (sha256 := await self._fingerprints.of(name))}

    async def _presets(self, project: str, slugs: Collection[str]) -> dict[str, Preset]:
        """The project's own, else the one that belongs to all."""
        if not slugs:
            return {}
        wanted = {"slug": {"$in": list(slugs)}, "project": {"$in": [project, None]}}
        found = self._mongo.presets.find(wanted).sort("project", 1)  # null comes first
        return {document["slug"]: Preset.model_validate(document) async for document in found}


def _references(job: Job) -> Iterator[Reference]:
    for run in job.state.runs.values():
        yield from run.output.references if run.output else ()


def _aliases(jobs: Iterable[Job]) -> tuple[str, ...]:
    named = {each.alias for job in jobs if job.output for each in job.output.references}
    return tuple(sorted(filter(None, named)))


def _shown(job: Job) -> tuple[UUID, ...]:
    return tuple(picture.image_id for picture in job.output.pictures) if job.output else ()


def _used(output: Output, seen: Seen) -> Iterator[Used]:
    """Which pictures they were; that of a job's run is known from the job."""
    for reference in output.references:
        image = reference.image_id
        if image is None and reference.job_id in seen.jobs and reference.run_id:
            run = seen.jobs[reference.job_id].state.runs.get(reference.run_id)
            made = run.output.pictures if run and run.output else ()
            image = made[0].image_id if made else None
        if image is not None:
            yield Used(reference=reference, image_id=image)


def _built(job: Job, output: Output, seen: Seen) -> Built:
    return Built(
        generation=job.id,
        created_at=job.created_at,
        model=output.model,
        model_sha256=output.model_sha256,
        preset=output.preset,
        used=tuple(_used(output, seen)),
    )


def _outputs(seen: Seen) -> Iterator[tuple[Job, Output]]:
    for job in seen.jobs.values():
        for run in job.state.runs.values():
            if run.output:
                yield job, run.output


def _makers(seen: Seen) -> Iterator[tuple[UUID, UUID]]:
    yield from ((image, maker) for image, maker in seen.images.items() if maker)
    for job, output in _outputs(seen):
        yield from ((picture.image_id, job.id) for picture in output.pictures)


def _newest(seen: Seen) -> Iterator[tuple[UUID, UUID]]:
    """By its place among the pictures of its run."""
    for job, output in _outputs(seen):
        for place, picture in enumerate(output.pictures):
            shown = _shown(job)[place : place + 1] or _shown(job)[:1]
            if shown and shown[0] in seen.kept and job.deleted_at is None:
                yield picture.image_id, shown[0]


def _origins(seen: Seen) -> Iterator[tuple[UUID, tuple[UUID, ...]]]:
    for _, output in _outputs(seen):
        used = tuple(each.image_id for each in _used(output, seen))
        yield from ((picture.image_id, used) for picture in output.pictures)
