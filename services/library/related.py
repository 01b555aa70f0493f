"""Jobs -> the pictures around them that their replies show: what they made, what they came from."""

from collections.abc import Sequence
from uuid import UUID

from pydantic import Field

from schemas.common import Value
from schemas.images import Image
from schemas.jobs import Job
from services.library.leads import Leads, first_picture
from services.mongo import Mongo


class Related(Value):
    images: dict[UUID, Image] = Field(default_factory=dict)  #: outputs and references
    aliases: dict[UUID, str] = Field(default_factory=dict)  #: image -> its project alias
    made: dict[UUID, UUID] = Field(default_factory=dict)  #: referenced job -> its first picture

    def referenced(self, image: UUID | None, job: UUID | None) -> Image | None:
        """The picture of a reference; None while it is still being made."""
        found = image or (self.made.get(job) if job else None)
        return self.images.get(found) if found else None


class Relations:
    def __init__(self, mongo: Mongo) -> None:
        self._images = mongo.images
        self._leads = Leads(mongo)

    async def of(self, project: str, jobs: Sequence[Job]) -> Related:
        """Three queries, or four where a reference was pending, for any number of jobs."""
        references = [each for job in jobs for each in job.spec.references]
        waited = [each.job_id for each in references if each.image_id is None]
        makers = await self._leads.jobs(project, waited, None)
        made = {job.id: image for job in makers.values() if (image := first_picture(job))}
        outputs = {image for job in jobs if (image := first_picture(job))}
        wanted = outputs | {each.image_id for each in references} | set(made.values())
        query = {"_id": {"$in": [image for image in wanted if image]}, "project": project}
        found = await self._images.find(query).to_list(None) if any(wanted) else []
        kept = [document for document in found if "picture" in document]  # others are tombstones
        images = {image["_id"]: Image.model_validate(image) for image in kept}
        own = [image for image in images.values() if image.id in outputs]
        aliases = await self._leads.of_images(project, own) if own else {}
        return Related(images=images, aliases=aliases, made=made)
