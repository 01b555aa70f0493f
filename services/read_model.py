"""What is polled: documents in, `Job`s and `Image`s out. Reads only; the fold writes."""

from collections.abc import Sequence
from uuid import UUID

from schemas.common import Value
from schemas.images import Image
from schemas.jobs import Job, Status
from services.mongo import Document, Mongo


class JobFilter(Value):
    """Which jobs of a project a list shows; None means all."""

    owner: str | None = None
    blog_id: str | None = None
    batch_id: UUID | None = None
    statuses: tuple[Status, ...] | None = None


class JobPage(Value):
    jobs: tuple[Job, ...]
    total: int  #: of the filter, not of the page


class ReadModel:
    """Every answer is of one project, and of one user where `owner` is given."""

    def __init__(self, mongo: Mongo) -> None:
        self._jobs = mongo.jobs
        self._images = mongo.images

    async def job(self, project: str, job: UUID, owner: str | None = None) -> Job | None:
        document = await self._jobs.find_one(_visible(project, owner) | {"_id": job})
        return None if document is None else Job.model_validate(document)

    async def these(self, project: str, jobs: Sequence[UUID]) -> tuple[Job, ...]:
        """In the order of their ids, which is that of their admission."""
        found = self._jobs.find({"_id": {"$in": list(jobs)}, "project": project}).sort("_id", 1)
        return tuple([Job.model_validate(document) async for document in found])

    async def batch(self, project: str, batch: UUID, owner: str | None = None) -> tuple[Job, ...]:
        """In the order of their admission; none where there is no such batch."""
        found = self._jobs.find(_visible(project, owner) | {"batch_id": batch}).sort("_id", 1)
        return tuple([Job.model_validate(document) async for document in found])

    async def jobs(self, project: str, chosen: JobFilter, limit: int, offset: int) -> JobPage:
        """Newest first."""
        wanted = _visible(project, chosen.owner) | _narrowed(chosen)
        total = await self._jobs.count_documents(wanted)
        newest = [("created_at", -1), ("_id", -1)]
        found = self._jobs.find(wanted).sort(newest).skip(offset).limit(limit)
        jobs = [Job.model_validate(document) async for document in found]
        return JobPage(jobs=tuple(jobs), total=total)

    async def image(self, image: UUID) -> Image | None:
        document = await self._images.find_one({"_id": image, "marks.purged_at": None})
        return None if document is None else Image.model_validate(document)

    async def purged(self, image: UUID) -> bool:
        """Whether only the tombstone of an image is left."""
        tombstone = {"_id": image, "marks.purged_at": {"$ne": None}}
        return await self._images.find_one(tombstone, {"_id": 1}) is not None


def _visible(project: str, owner: str | None) -> Document:
    return {"project": project} if owner is None else {"project": project, "owner": owner}


def _narrowed(chosen: JobFilter) -> Document:
    wanted = chosen.model_dump(include={"blog_id", "batch_id"}, exclude_none=True)
    if chosen.statuses is not None:
        wanted["state.status"] = {"$in": list(chosen.statuses)}
    return wanted
