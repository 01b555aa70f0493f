"""A project's pictures, generated and uploaded: one by its id, or a page of a list."""

from uuid import UUID

from schemas.common import Value
from schemas.images import Image, ImageSource
from services.errors import ImageNotFound
from services.library.leads import Leads
from services.library.pages import NEWEST, Membership, Page
from services.library.totals import Part, Totals
from services.mongo import Document, Mongo, Session


class ImageFilter(Value):
    """Which images a list shows; None means all."""

    flow_id: UUID | None = None
    source: ImageSource | None = None
    alias: str | None = None  #: of the project
    include_deleted: bool = False

    @property
    def sources(self) -> tuple[ImageSource, ...]:
        return tuple(ImageSource) if self.source is None else (self.source,)


class Images:
    """Reads only. What is purged is never there."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._images = mongo.images
        self._flows = Membership(mongo)
        self._leads = Leads(mongo)
        self._totals = Totals(mongo)

    async def get(
        self,
        project: str,
        image: UUID,
        *,
        include_deleted: bool = False,
        session: Session | None = None,
    ) -> Image:
        """Raise `ImageNotFound`."""
        wanted = {"_id": image, "project": project, "marks.purged_at": None}
        if not include_deleted:
            wanted["marks.deleted_at"] = None
        document = await self._images.find_one(wanted, session=session)
        if document is None:
            raise ImageNotFound
        (found,) = await self._flows.shown(project, [Image.model_validate(document)], session)
        return found

    async def page(self, project: str, chosen: ImageFilter, limit: int, offset: int) -> Page[Image]:
        """Newest first; a flow or an alias that isn't there has none."""
        async with self._mongo.snapshot() as session:
            scope = await self._flows.scope(project, chosen.flow_id, session)
            if scope is None:
                return Page(items=(), total=0)
            wanted: Document = {**scope, "source": {"$in": chosen.sources}}
            if not chosen.include_deleted:
                wanted["marks.deleted_at"] = None
            if chosen.alias is not None:
                return await self._named(session, project, wanted, chosen.alias, offset)
            found = self._images.find(wanted, session=session).sort(NEWEST).hint(_index(chosen))
            documents = await found.skip(offset).limit(limit).to_list(None)
            images = [Image.model_validate(document) for document in documents]
            shown = await self._flows.shown(project, images, session)
            total = await self._total(session, project, scope, chosen)
            return Page(items=shown, total=total)

    async def _named(
        self, session: Session, project: str, wanted: Document, name: str, offset: int
    ) -> Page[Image]:
        """A name leads to one picture at most."""
        held = await self._leads.held(project, None, session, name=name)
        leads = await self._leads.of(project, held, session)
        ids = [lead.image_id for lead in leads if lead]
        documents = await self._images.find(
            {**wanted, "_id": {"$in": ids}}, session=session
        ).to_list(None)
        images = [Image.model_validate(document) for document in documents]
        shown = await self._flows.shown(project, images[offset:], session)
        return Page(items=shown, total=len(images))

    async def _total(
        self, session: Session, project: str, scope: Document, chosen: ImageFilter
    ) -> int:
        """Both sets only grow: nothing is ever un-made, and nothing un-deleted."""
        listed = {**scope, "source": {"$in": chosen.sources}}
        parts = [Part(self._images, listed, "created_at")]
        if not chosen.include_deleted:
            parts.append(Part(self._images, listed, "marks.deleted_at", -1))
        name = f"images {chosen.model_dump_json(exclude_none=True)}"
        return await self._totals.count(session, project, name, parts)


def _index(chosen: ImageFilter) -> str:
    """By name, since the planner would go through those that are deleted."""
    name = "listed" if chosen.include_deleted else "shown"
    return name if chosen.flow_id is None else f"{name}_in_flow"
