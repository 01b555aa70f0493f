"""What people put on an image: a focal point, meta, an alias, and that it is deleted."""

from datetime import datetime
from hashlib import sha256
from uuid import UUID

from schemas.common import Meta, Value, now
from schemas.images import FocalPoint, Image, Marks
from schemas.library_events import ImageMarked
from services.library.aliases import Aliases, check_name
from services.library.feed import Change, Feed, change
from services.library.images import Images
from services.library.leads import Leads
from services.mongo import Mongo, Session


class MarkChanges(Value):
    """What is set is changed; None takes an alias, a focal point or the meta away."""

    alias: str | None = None
    focal_point: FocalPoint | None = None
    meta: Meta | None = None


class ImageMarks:
    def __init__(self, mongo: Mongo, feed: Feed) -> None:
        self._mongo = mongo
        self._feed = feed
        self._aliases = Aliases(mongo)
        self._images = Images(mongo)
        self._leads = Leads(mongo)

    async def update(self, project: str, image: UUID, changes: MarkChanges) -> Image:
        """All or none. Raise `ImageNotFound`, `AliasTaken`, `InvalidAlias` or `ReservedAlias`."""
        if changes.alias is not None:
            check_name(changes.alias)
        chosen: dict[str, object] = {}
        if "focal_point" in changes.model_fields_set:
            chosen["focal_point"] = changes.focal_point
        if "meta" in changes.model_fields_set:
            chosen["meta"] = changes.meta or {}

        async def work(session: Session) -> None:
            found = await self._images.get(project, image, session=session)
            made: tuple[Change, ...] = ()
            if "alias" in changes.model_fields_set:
                made = await self._name(session, found, changes.alias)
            marks = found.marks.model_copy(update={**chosen, "updated_at": now()})
            await self.write(session, found, marks)
            if chosen:
                made = (*made, marked(found.id, marks))
            await self._feed.record(session, project, *made)

        await self._feed.transaction(project, work)
        return await self._images.get(project, image)

    async def delete(self, project: str, image: UUID) -> datetime:
        """Softly: its URL still serves. Its aliases are free. Raise `ImageNotFound`."""
        moment = now()

        async def work(session: Session) -> None:
            found = await self._images.get(project, image, session=session)
            made = await self.hide(session, [found], moment)
            await self._feed.record(session, project, *made)

        await self._feed.transaction(project, work)
        return moment

    async def hide(
        self, session: Session, images: list[Image], moment: datetime
    ) -> tuple[Change, ...]:
        """Mark images of one project that are not deleted yet, in the caller's transaction."""
        made: tuple[Change, ...] = ()
        for image in images:
            marks = image.marks.model_copy(update={"deleted_at": moment, "updated_at": moment})
            await self.write(session, image, marks)
            made += (marked(image.id, marks),)
        if images:
            project = images[0].project
            made += await self._aliases.release(session, project, images=images)
        return made

    async def write(self, session: Session, image: Image, marks: Marks) -> None:
        """Nothing but the marks: the facts are the projector's."""
        document = marks.model_dump(exclude_none=True)
        await self._mongo.images.update_one(
            {"_id": image.id}, {"$set": {"marks": document}}, session=session
        )

    async def _name(self, session: Session, image: Image, name: str | None) -> tuple[Change, ...]:
        if name is not None:
            return await self._aliases.assign(session, image, name)
        had = (await self._leads.of_images(image.project, (image,), session)).get(image.id)
        return () if had is None else await self._aliases.remove(session, image.project, had)


def marked(image: UUID, marks: Marks) -> Change:
    """`meta` is free text: only its hash travels."""
    meta = sha256(marks.model_dump_json(include={"meta"}).encode()).hexdigest()
    return change(
        ImageMarked,
        image,
        image_id=image,
        focal_point=marks.focal_point,
        meta_sha256=meta if marks.meta else None,
        deleted_at=marks.deleted_at,
    )
