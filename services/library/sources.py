"""A run's references -> the files that its picture is made from, when it runs."""

from typing import Final

from schemas.common import Value
from schemas.events import GenerationCompleted
from schemas.images import Picture
from schemas.jobs import GenerationSpec, Job, Reference
from services.errors import ReferenceGone
from services.mongo import Mongo

COMPLETED: Final = GenerationCompleted.model_fields["type"].default


class Source(Value):
    reference: Reference  #: with its `image_id`
    picture: Picture


async def pictures_of(mongo: Mongo, spec: GenerationSpec) -> tuple[Source, ...]:
    """In the order of `spec.references`; raise `ReferenceGone` for one that was purged."""
    return tuple([await _source(mongo, reference) for reference in spec.references])


async def _source(mongo: Mongo, reference: Reference) -> Source:
    picture = (
        await _made_by(mongo, reference)
        if reference.image_id is None
        else await _stored(mongo, reference)
    )
    if picture is None:
        raise ReferenceGone
    found = reference.model_copy(update={"image_id": picture.image_id})
    return Source(reference=found, picture=picture)


async def _stored(mongo: Mongo, reference: Reference) -> Picture | None:
    image = await mongo.images.find_one({"_id": reference.image_id}, {"picture": 1})
    return Picture.model_validate(image["picture"]) if image and "picture" in image else None


async def _made_by(mongo: Mongo, reference: Reference) -> Picture | None:
    """The row knows before the projector does; it is kept for 35 days, the job for ever."""
    row = await mongo.queue.find_one(
        {"job": reference.job_id, "outcome.type": COMPLETED},
        {"outcome.event": 1},
        sort=[("run_number", -1)],
    )
    if row is not None:
        event = GenerationCompleted.model_validate_json(row["outcome"]["event"])
        return event.data.images[0]
    job = await mongo.jobs.find_one({"_id": reference.job_id})
    output = Job.model_validate(job).output if job else None
    return output.pictures[0] if output else None
