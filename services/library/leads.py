"""A picture's name -> what it leads to now: technical, then the flow's, then the project's.

A name is held by an image, or by a job whose output it will lead to; until that has a picture,
it leads to the one before.
"""

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import Final
from uuid import UUID

from schemas.common import Value
from schemas.images import Alias, Image, ImageSource
from schemas.jobs import Job
from services.mongo import Document, Mongo, Session

TECHNICAL: Final = {  #: name -> of which pictures, and in which order the first
    "@last": (ImageSource.GENERATED, -1),
    "@first": (ImageSource.GENERATED, 1),
    "@upload": (ImageSource.UPLOADED, -1),
}
KEPT: Final = {"marks.deleted_at": None, "marks.purged_at": None}  #: of images


class Scope(StrEnum):
    """Where a name was found."""

    TECHNICAL = "technical"
    FLOW = "flow"
    PROJECT = "project"


class Lead(Value):
    """What a name leads to: a picture, or the job that is to make its first one."""

    scope: Scope
    flow_id: UUID | None = None
    holder: UUID | None = None  #: the job that holds the name
    image_id: UUID | None = None
    pending: Job | None = None


class Leads:
    """Reads only; with a session, what its transaction has written too."""

    def __init__(self, mongo: Mongo) -> None:
        self._aliases = mongo.aliases
        self._images = mongo.images
        self._jobs = mongo.jobs

    async def resolve(
        self, project: str, name: str, flow_id: UUID | None = None, session: Session | None = None
    ) -> Lead | None:
        """None when it leads nowhere: never given, removed, or its job ended without pictures."""
        if name in TECHNICAL:
            return await self._computed(project, name, session)
        for flow in (None,) if flow_id is None else (flow_id, None):
            held = await self.held(project, flow, session, name=name)
            if lead := next(filter(None, await self.of(project, held, session)), None):
                return lead
        return None

    async def of_flows(self, project: str, flows: Collection[UUID]) -> dict[UUID, dict[str, UUID]]:
        """Flow -> name -> image, of the flows' own aliases that have one; every flow is there."""
        found: dict[UUID, dict[str, UUID]] = {flow: {} for flow in flows}
        held = await self._find({"project": project, "flow_id": {"$in": list(flows)}}, None)
        for alias, lead in zip(held, await self.of(project, held), strict=True):
            if alias.flow_id and lead and lead.image_id:
                found[alias.flow_id][alias.name] = lead.image_id
        return found

    async def of_images(
        self, project: str, images: Collection[Image], session: Session | None = None
    ) -> dict[UUID, str]:
        """Image -> its project alias, for those that have one."""
        held = await self.about(project, images, session, flow_id=None)
        leads = zip(held, await self.of(project, held, session), strict=True)
        wanted = {image.id for image in images}
        return {
            lead.image_id: alias.name for alias, lead in leads if lead and lead.image_id in wanted
        }

    async def of_jobs(
        self, project: str, jobs: Collection[UUID], session: Session | None = None
    ) -> tuple[Alias, ...]:
        """What jobs hold, of the project and of flows."""
        return await self._find({"project": project, "job_id": {"$in": list(jobs)}}, session)

    async def held(
        self, project: str, flow_id: UUID | None, session: Session | None = None, **facts: str
    ) -> tuple[Alias, ...]:
        return await self._find({"project": project, "flow_id": flow_id, **facts}, session)

    async def about(
        self,
        project: str,
        images: Collection[Image],
        session: Session | None,
        **facts: UUID | None,
    ) -> tuple[Alias, ...]:
        """Aliases that may lead to the images: held by them, or by the jobs that made them."""
        ids = [image.id for image in images]
        jobs = [image.job_id for image in images if image.job_id]
        by = [{"image_id": {"$in": ids}}, {"job_id": {"$in": jobs}}]
        return await self._find({"project": project, "$or": by, **facts}, session)

    async def of(
        self, project: str, aliases: Sequence[Alias], session: Session | None = None
    ) -> list[Lead | None]:
        """Where each leads, in their order: two queries for all."""
        jobs = await self.jobs(project, (alias.job_id for alias in aliases), session)
        made = [first_picture(jobs[a.job_id]) if a.job_id in jobs else None for a in aliases]
        images = [new or alias.image_id for new, alias in zip(made, aliases, strict=True)]
        kept = await self._kept(project, [image for image in images if image], session)
        return [
            _lead(alias, image if image in kept else None, jobs.get(alias.job_id))
            for alias, image in zip(aliases, images, strict=True)
        ]

    async def jobs(
        self, project: str, ids: Iterable[UUID | None], session: Session | None
    ) -> dict[UUID | None, Job]:
        """Those that are there and not deleted."""
        if not (wanted := [job for job in set(ids) if job]):
            return {}
        query = {"_id": {"$in": wanted}, "project": project, "deleted_at": None}
        found = await self._jobs.find(query, session=session).to_list(None)
        return {document["_id"]: Job.model_validate(document) for document in found}

    async def _kept(
        self, project: str, images: Sequence[UUID], session: Session | None
    ) -> set[UUID]:
        if not images:
            return set()
        query = {"_id": {"$in": list(images)}, "project": project, **KEPT}
        found = await self._images.find(query, {"_id": 1}, session=session).to_list(None)
        return {document["_id"] for document in found}

    async def _computed(self, project: str, name: str, session: Session | None) -> Lead | None:
        source, order = TECHNICAL[name]
        found = await self._images.find_one(
            {"project": project, "source": source, **KEPT},
            {"_id": 1},
            sort=[("created_at", order), ("_id", order)],
            session=session,
        )
        return Lead(scope=Scope.TECHNICAL, image_id=found["_id"]) if found else None

    async def _find(self, query: Document, session: Session | None) -> tuple[Alias, ...]:
        found = await self._aliases.find(query, session=session).sort("name", 1).to_list(None)
        return tuple(Alias.model_validate(document) for document in found)


def first_picture(job: Job) -> UUID | None:
    """Of its last good output."""
    return job.output.pictures[0].image_id if job.output and job.output.pictures else None


def _lead(alias: Alias, image: UUID | None, job: Job | None) -> Lead | None:
    pending = job if image is None and job and not job.status.terminal else None
    if image is None and pending is None:
        return None
    scope = Scope.PROJECT if alias.flow_id is None else Scope.FLOW
    return Lead(
        scope=scope, flow_id=alias.flow_id, holder=alias.job_id, image_id=image, pending=pending
    )
