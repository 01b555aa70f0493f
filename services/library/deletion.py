"""Generations deleted softly: hidden with their pictures, and with those that come after all."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from schemas.common import now
from schemas.images import Image
from schemas.jobs import Job, Status
from schemas.library_events import GenerationMarked
from services.library.aliases import Aliases
from services.library.feed import Feed, change
from services.library.generations import Generations
from services.library.marks import ImageMarks
from services.library.removals import Removal, RemovalKind, Removals, stripped
from services.mongo import Mongo, Session

PAUSE: Final = timedelta(seconds=1)  #: between two looks at a run that still goes on


class Deletion:
    def __init__(self, mongo: Mongo, feed: Feed, removals: Removals) -> None:
        self._mongo = mongo
        self._feed = feed
        self._removals = removals
        self._aliases = Aliases(mongo)
        self._generations = Generations(mongo)
        self._marks = ImageMarks(mongo, feed)

    async def delete(self, project: str, job: UUID) -> datetime:
        """Cancel it if it still goes on. Raise `GenerationNotFound`."""
        moment = now()

        async def work(session: Session) -> Job:
            found = await self._generations.get(project, job, session=session)
            hidden = {"$set": {"deleted_at": moment}}
            await self._mongo.jobs.update_one({"_id": job}, hidden, session=session)
            made = await self._marks.hide(session, await self._pictures(session, job), moment)
            made += await self._aliases.release(session, project, jobs=[job])
            if not found.status.terminal:
                await self._removals.add(session, _deletion(found, moment))
            told = change(GenerationMarked, job, job_id=job, deleted_at=moment)
            await self._feed.record(session, project, *made, told)
            return found

        found = await self._feed.transaction(project, work)
        if not found.status.terminal:
            await self._removals.stop(found)
        return moment

    async def sweep(self) -> None:
        """Hide what deleted jobs have made since, once they have ended; else ask for their end."""
        removals = await self._removals.due(RemovalKind.DELETION)
        going_on = await self._going_on([removal.id for removal in removals])
        for removal in removals:
            if removal.id in going_on:
                await self._removals.later(removal, PAUSE, going_on=True)
            else:
                await self._finish(removal)

    async def _going_on(self, jobs: list[UUID]) -> set[UUID]:
        unseen = {"$expr": {"$ne": ["$run", "$state.run"]}}
        open_states = {"state.status": {"$in": [each for each in Status if not each.terminal]}}
        wanted = {"_id": {"$in": jobs}, "$or": [unseen, open_states]}
        found = await self._mongo.jobs.find(wanted, {"_id": 1}).to_list(None)
        return {job["_id"] for job in found}

    async def _finish(self, removal: Removal) -> None:
        """Pictures are there before their job is seen to have ended: none can come after this."""

        async def work(session: Session) -> None:
            late = await self._pictures(session, removal.id)
            made = await self._marks.hide(session, late, removal.removed_at)
            await self._removals.done(removal, session)
            await self._feed.record(session, removal.project, *made)

        await self._feed.transaction(removal.project, work)

    async def _pictures(self, session: Session, job: UUID) -> list[Image]:
        wanted = {"job_id": job, "marks.deleted_at": None}
        found = self._mongo.images.find(wanted, session=session)
        return [Image.model_validate(document) for document in await found.to_list(None)]


def _deletion(job: Job, moment: datetime) -> Removal:
    return Removal(
        id=job.id,
        project=job.project,
        kind=RemovalKind.DELETION,
        job=stripped(job),
        removed_at=moment,
    )
