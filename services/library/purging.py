"""Images and generations removed for good: rows, objects, and whatever is still to come."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from schemas.common import now
from schemas.events import EVENTS, GenerationCompleted
from schemas.images import Image, Picture
from schemas.jobs import Job
from schemas.library_events import GenerationPurged, ImagePurged
from schemas.queue import QueueRow, RowState
from services.errors import Unavailable
from services.library.aliases import Aliases
from services.library.feed import Change, Feed, change
from services.library.generations import Generations
from services.library.images import Images
from services.library.removals import Removal, RemovalKind, Removals, stripped
from services.library.totals import disturb
from services.mongo import Mongo, Session
from services.object_store import S3ObjectStore
from services.upkeep import SWEPT_AFTER

log = structlog.get_logger()

PAUSE: Final = timedelta(seconds=2)  #: between two looks at a purge that isn't done


class Purging:
    """The transaction decides; what follows may be cut off anywhere, since the sweep goes on."""

    def __init__(self, mongo: Mongo, feed: Feed, removals: Removals, store: S3ObjectStore) -> None:
        self._mongo = mongo
        self._feed = feed
        self._removals = removals
        self._store = store
        self._aliases = Aliases(mongo)
        self._generations = Generations(mongo)
        self._images = Images(mongo)

    async def image(self, project: str, image: UUID) -> datetime:
        """Deleted softly before or not. Raise `ImageNotFound`."""
        moment = now()

        async def work(session: Session) -> Removal:
            found = await self._images.get(project, image, include_deleted=True, session=session)
            made = await self._aliases.release(session, project, images=[found])
            made += await self._bury(session, project, [found.picture], moment)
            removal = Removal(
                id=image,
                project=project,
                kind=RemovalKind.PURGE,
                keys=(found.picture.relative_path,),
                removed_at=moment,
            )
            await self._removals.add(session, removal)
            await disturb(self._mongo, [project], session)
            await self._feed.record(session, project, *made)
            return removal

        await self._erase_now(await self._feed.transaction(project, work))
        return moment

    async def generation(self, project: str, job: UUID) -> datetime:
        """With all that any of its runs made. Raise `GenerationNotFound`.

        Its queue rows stay until they age: a command that comes again must find its run decided.
        """
        moment = now()

        async def work(session: Session) -> tuple[Job, Removal]:
            found = await self._generations.get(project, job, include_deleted=True, session=session)
            pictures = await self._pictures(session, found)
            made = await self._aliases.release(session, project, images=pictures, jobs=[job])
            facts = {each.image_id: each for each in _facts(found, pictures)}
            made += await self._bury(session, project, list(facts.values()), moment)
            await self._mongo.jobs.delete_one({"_id": job}, session=session)
            tombstone = {"_id": job, "project": project, "purged_at": moment}
            await self._mongo.purged_jobs.insert_one(tombstone, session=session)
            removal = _purge(found, facts.values(), moment)
            await self._removals.add(session, removal)
            await disturb(self._mongo, [project], session)
            told = change(GenerationPurged, job, job_id=job)
            await self._feed.record(session, project, *made, told)
            return found, removal

        found, removal = await self._feed.transaction(project, work)
        if not found.status.terminal:
            await self._removals.stop(found)
        await self._erase_now(removal)
        return moment

    async def sweep(self) -> None:
        """Go on with every purge that isn't done; raise `Unavailable` while S3 is away."""
        for removal in await self._removals.due(RemovalKind.PURGE):
            await self._erase(removal)

    async def _erase_now(self, removal: Removal) -> None:
        try:
            await self._erase(removal)
        except Unavailable as error:
            log.warning("purge_delayed", removal=str(removal.id), error=str(error))

    async def _erase(self, removal: Removal) -> None:
        """Delete the objects of every attempt; done when no attempt can store any more."""
        rows = await self._rows(removal.runs)
        late = [picture for row in rows.values() for picture in _made(row)]
        noted = {key for row in rows.values() for key in row.uploads}
        for key in {*removal.keys, *noted, *(picture.relative_path for picture in late)}:
            await self._store.delete(key)
        going_on = removal.job is not None and not _over(rows.get(removal.job.run))
        done = not going_on and not any(_stragglers(row) for row in rows.values())
        if late or done:
            await self._settle(removal, late, done=done)
        if not done:
            await self._removals.later(removal, PAUSE, going_on=going_on)

    async def _settle(self, removal: Removal, late: Sequence[Picture], *, done: bool) -> None:
        async def work(session: Session) -> None:
            made = await self._bury(session, removal.project, late, removal.removed_at)
            if made:  # it may have been listed meanwhile: the projector remembers jobs under way
                await disturb(self._mongo, [removal.project], session)
            if done:
                await self._removals.done(removal, session)
            await self._feed.record(session, removal.project, *made)

        await self._feed.transaction(removal.project, work)
        if done:
            log.info("purged", removal=str(removal.id))

    async def _bury(
        self, session: Session, project: str, pictures: Sequence[Picture], moment: datetime
    ) -> tuple[Change, ...]:
        """Tombstones in the place of images, of those too that were never told of."""
        made: tuple[Change, ...] = ()
        marks = {"deleted_at": moment, "purged_at": moment}
        for picture in pictures:
            buried = await self._mongo.images.replace_one(
                {"_id": picture.image_id, "marks.purged_at": None},
                {"project": project, "marks": marks},
                upsert=not await self._buried(session, picture.image_id),
                session=session,
            )
            if buried.modified_count or buried.upserted_id is not None:
                made += (change(ImagePurged, picture.image_id, image_id=picture.image_id),)
        return made

    async def _buried(self, session: Session, image: UUID) -> bool:
        wanted = {"_id": image, "marks.purged_at": {"$ne": None}}
        return await self._mongo.images.find_one(wanted, {"_id": 1}, session=session) is not None

    async def _pictures(self, session: Session, job: Job) -> list[Image]:
        wanted = {"job_id": job.id, "marks.purged_at": None}
        found = await self._mongo.images.find(wanted, session=session).to_list(None)
        return [Image.model_validate(document) for document in found]

    async def _rows(self, runs: Sequence[UUID]) -> dict[UUID, QueueRow]:
        found = self._mongo.queue.find({"_id": {"$in": list(runs)}})
        return {row["_id"]: QueueRow.model_validate(row) async for row in found}


def _purge(job: Job, pictures: Iterable[Picture], moment: datetime) -> Removal:
    return Removal(
        id=job.id,
        project=job.project,
        kind=RemovalKind.PURGE,
        job=None if job.status.terminal else stripped(job),
        runs=tuple({job.run, *job.state.runs}),
        keys=tuple(picture.relative_path for picture in pictures),
        removed_at=moment,
    )


def _facts(job: Job, images: Sequence[Image]) -> list[Picture]:
    outputs = [run.output.pictures for run in job.state.runs.values() if run.output]
    return [image.picture for image in images] + [each for made in outputs for each in made]


def _made(row: QueueRow) -> tuple[Picture, ...]:
    if row.outcome is None:
        return ()
    event = EVENTS.validate_json(row.outcome.event)
    return event.data.images if isinstance(event, GenerationCompleted) else ()


def _stragglers(row: QueueRow) -> bool:
    """An upload may go on after its lease, and store what was deleted already."""
    decided = row.outcome.decided_at if row.outcome else None
    return decided is not None and now() - decided < timedelta(seconds=SWEPT_AFTER)


def _over(row: QueueRow | None) -> bool:
    """No attempt of the run can begin any more."""
    return row is not None and row.state in (RowState.DONE, RowState.OVERTAKEN)
