"""What a picture is made from: names as a caller says them -> images, or jobs that are waited for.

Resolved once, at admission: what happens to a name later changes no job that waits.
"""

import re
from typing import Final
from uuid import UUID

from schemas.jobs import Dialect, Job, Reference
from services.errors import ImageNotFound, InvalidRequest
from services.library.aliases import NAME
from services.library.leads import KEPT, Leads, first_picture
from services.mongo import Mongo, Session

MOST: Final = 8  #: references of a job
_IN_PROMPT = re.compile(r"(?<![\w@])@[A-Za-z0-9][A-Za-z0-9_-]*")


def said(name: str) -> Reference:
    """An image's id or an alias; raise `ImageNotFound` for what can be neither."""
    if NAME.fullmatch(name):
        return Reference(alias=name)
    try:
        return Reference(image_id=UUID(name))
    except ValueError:
        raise ImageNotFound(pointer="/references") from None


def named_in(prompt: str, dialect: Dialect) -> tuple[str, ...]:
    """The `@name` words of a prompt, which are names in studio alone."""
    if dialect is not Dialect.STUDIO:
        return ()
    return tuple(dict.fromkeys(_IN_PROMPT.findall(prompt)))


class References:
    def __init__(self, mongo: Mongo) -> None:
        self._images = mongo.images
        self._leads = Leads(mongo)

    async def resolve(self, session: Session, job: Job, *, anew: bool = False) -> Job:
        """`job` with its references resolved, waiting for those that are pending.

        `anew`: names that led somewhere once are asked again. Raises `ImageNotFound`, and
        `InvalidRequest` for more than eight different ones.
        """
        found: dict[tuple[object, ...], Reference] = {}
        for index, asked in enumerate(job.spec.references):
            resolved = await self._one(session, job, asked, anew)
            if resolved is None:
                raise ImageNotFound(pointer=f"/references/{index}")
            found.setdefault((resolved.image_id, resolved.job_id, resolved.role), resolved)
        if len(found) > MOST:
            raise InvalidRequest(f"A picture has at most {MOST} references", "/references")
        references = tuple(found.values())
        awaited = (each.run_id for each in references if each.run_id)
        after = tuple(dict.fromkeys((*job.after, *awaited)))
        spec = job.spec.model_copy(update={"references": references})
        return job.model_copy(update={"spec": spec, "after": after})

    async def _one(
        self, session: Session, job: Job, asked: Reference, anew: bool
    ) -> Reference | None:
        """A retry asks an alias anew: it gets the picture of today, where there is one."""
        unresolved = asked.image_id is None and asked.job_id is None
        if asked.alias is not None and (unresolved or anew):
            lead = await self._leads.resolve(job.project, asked.alias, job.flow_id, session)
            if lead and lead.holder != job.id:  # its own output is nothing to start from
                image = lead.image_id
                return _made(asked, image) if image else _by_job(asked, lead.pending)
        if asked.image_id is not None:
            kept = {"_id": asked.image_id, "project": job.project, **KEPT}
            found = await self._images.find_one(kept, {"_id": 1}, session=session)
            return _made(asked, asked.image_id) if found else None
        made_by = await self._leads.jobs(job.project, (asked.job_id,), session)
        return _by_job(asked, made_by.get(asked.job_id))


def _by_job(asked: Reference, job: Job | None) -> Reference | None:
    if job is None:
        return None
    if asked.run_id == job.run and not job.status.terminal:
        return asked  # that very run, not what the job has shown until now
    if image := first_picture(job):
        return _made(asked, image)
    if job.status.terminal:
        return None
    return asked.model_copy(update={"image_id": None, "job_id": job.id, "run_id": job.run})


def _made(asked: Reference, image: UUID) -> Reference:
    return asked.model_copy(update={"image_id": image, "job_id": None, "run_id": None})
