"""Names given to images and to jobs' coming output, passed on, and taken away."""

import re
from collections.abc import Collection
from typing import Final
from uuid import UUID

from schemas.images import Alias, Image
from schemas.jobs import Job
from schemas.library_events import AliasAssigned, AliasRemoved
from services.errors import AliasTaken, InvalidAlias, ReservedAlias
from services.library.feed import Change, change
from services.library.leads import TECHNICAL, Lead, Leads, first_picture
from services.mongo import Mongo, Session

NAME: Final = re.compile(r"@[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def check_name(name: str, pointer: str = "") -> None:
    """Raise `InvalidAlias`, or `ReservedAlias` for a technical one."""
    if not NAME.fullmatch(name):
        raise InvalidAlias(pointer=pointer)
    if name in TECHNICAL:
        raise ReservedAlias(pointer=pointer)


class Aliases:
    """Works in its caller's transaction, and returns what is to be recorded at the end of that."""

    def __init__(self, mongo: Mongo) -> None:
        self._aliases = mongo.aliases
        self._leads = Leads(mongo)

    async def claim(
        self, session: Session, job: Job, name: str, flow_id: UUID | None = None
    ) -> Change:
        """For the job's output. A flow's name passes on; a project's raises `AliasTaken` while it
        leads anywhere: a job that ended without pictures has lost it."""
        lead = await self._lead(session, job.project, name, flow_id)
        if lead and flow_id is None:
            raise AliasTaken(pointer="/alias")
        earlier = lead.image_id if lead else None
        held = {"project": job.project, "flow_id": flow_id, "name": name}
        return await self._put(session, Alias(**held, job_id=job.id, image_id=earlier))

    async def assign(
        self, session: Session, image: Image, name: str, flow_id: UUID | None = None
    ) -> tuple[Change, ...]:
        """An image has at most one of the project's names: the one it had is free then.

        Raises `AliasTaken` when a project's name leads elsewhere.
        """
        freed: tuple[Change, ...] = ()
        if flow_id is None:
            lead = await self._lead(session, image.project, name, flow_id)
            if lead and lead.image_id != image.id:
                raise AliasTaken(pointer="/alias")
            had = (await self._leads.of_images(image.project, (image,), session)).get(image.id)
            if had is not None and had != name:
                freed = await self.remove(session, image.project, had)
        held = {"project": image.project, "flow_id": flow_id, "name": name}
        return (*freed, await self._put(session, Alias(**held, image_id=image.id)))

    async def remove(
        self, session: Session, project: str, name: str, flow_id: UUID | None = None
    ) -> tuple[Change, ...]:
        """Nothing happens when there is no such name."""
        key = {"project": project, "flow_id": flow_id, "name": name}
        found = await self._aliases.delete_one(key, session=session)
        return (change(AliasRemoved, name, name=name, flow_id=flow_id),) * found.deleted_count

    async def release(
        self,
        session: Session,
        project: str,
        *,
        images: Collection[Image] = (),
        jobs: Collection[UUID] = (),
    ) -> tuple[Change, ...]:
        """Take every name from images and jobs that go: the project's and all flows'."""
        gone = {image.id for image in images}
        held = await self._leads.about(project, images, session)
        makers = await self._leads.jobs(project, (alias.job_id for alias in held), session)
        changes: tuple[Change, ...] = ()
        for alias in (*held, *await self._leads.of_jobs(project, jobs, session)):
            maker = makers.get(alias.job_id)
            shown = (first_picture(maker) if maker else None) or alias.image_id
            if alias.job_id in jobs or (shown in gone and (maker is None or maker.status.terminal)):
                changes += await self.remove(session, project, alias.name, alias.flow_id)
            elif alias.image_id in gone:  # its job is still at it
                changes += (await self._put(session, alias.model_copy(update={"image_id": None})),)
        return changes

    async def _lead(
        self, session: Session, project: str, name: str, flow_id: UUID | None
    ) -> Lead | None:
        held = await self._leads.held(project, flow_id, session, name=name)
        leads = await self._leads.of(project, held, session)
        return leads[0] if leads else None

    async def _put(self, session: Session, alias: Alias) -> Change:
        document = alias.model_dump()
        key = {field: document.pop(field) for field in ("project", "flow_id", "name")}
        await self._aliases.update_one(key, {"$set": document}, upsert=True, session=session)
        facts = alias.model_dump(exclude={"project", "claimed_at"})
        return change(AliasAssigned, alias.name, **facts)
