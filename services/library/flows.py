"""A project's flows: made, shown with their counts, given aliases, and deleted."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import uuid_utils.compat
from pymongo.errors import DuplicateKeyError

from schemas.common import Meta, Value, now
from schemas.flows import Flow
from schemas.library_events import FlowCreated, FlowDeleted
from services.errors import FlowNotFound
from services.library.aliases import Aliases, check_name
from services.library.feed import Change, Feed, change
from services.library.images import Images
from services.library.pages import EVER, NEWEST, Page
from services.library.totals import Part, Totals, disturb
from services.mongo import Collection, Document, Mongo, Session


class FlowView(Value):
    """A flow with how many generations and images it has, without those that are deleted."""

    flow: Flow
    generations: int = 0
    images: int = 0


class Flows:
    def __init__(self, mongo: Mongo, feed: Feed) -> None:
        self._mongo = mongo
        self._flows = mongo.flows
        self._feed = feed
        self._aliases = Aliases(mongo)
        self._images = Images(mongo)
        self._totals = Totals(mongo)

    async def create(self, project: str, meta: Meta, flow_id: UUID | None = None) -> FlowView:
        """With an id that was tried before it is the flow of then."""
        flow = new_flow(project, meta, flow_id)

        async def work(session: Session) -> None:
            await self._feed.record(session, project, await self.insert(session, flow))

        try:
            await self._feed.transaction(project, work)
        except DuplicateKeyError:
            return await self.get(project, flow.id)
        return FlowView(flow=flow)

    async def insert(self, session: Session, flow: Flow) -> Change:
        """In the caller's transaction, which records the change that is returned."""
        await self._flows.insert_one(flow.model_dump(by_alias=True), session=session)
        return change(FlowCreated, flow.id, flow_id=flow.id)

    async def get(self, project: str, flow: UUID) -> FlowView:
        """Raise `FlowNotFound`."""
        async with self._mongo.snapshot() as session:
            document = await self._flows.find_one(
                {"_id": flow, "project": project}, session=session
            )
            if document is None:
                raise FlowNotFound
            (view,) = await self._counted(session, [Flow.model_validate(document)])
        return view

    async def page(self, project: str, limit: int, offset: int) -> Page[FlowView]:
        """Newest first."""
        wanted: Document = {"project": project}
        async with self._mongo.snapshot() as session:
            found = self._flows.find(wanted, session=session).sort(NEWEST)
            documents = await found.skip(offset).limit(limit).to_list(None)
            flows = [Flow.model_validate(document) for document in documents]
            parts = [Part(self._flows, wanted, "created_at")]
            total = await self._totals.count(session, project, "flows", parts)
            return Page(items=await self._counted(session, flows), total=total)

    async def put_aliases(self, project: str, flow: UUID, names: Mapping[str, UUID]) -> FlowView:
        """Merge `names` with what the flow has, all or none.

        Raise `FlowNotFound`, `ImageNotFound`, `InvalidAlias` or `ReservedAlias`.
        """
        for name in names:
            check_name(name)

        async def work(session: Session) -> None:
            await self.touch(session, project, flow)
            changes: tuple[Change, ...] = ()
            for name, image in names.items():
                found = await self._images.get(project, image, session=session)
                changes += await self._aliases.assign(session, found, name, flow)
            await self._feed.record(session, project, *changes)

        await self._feed.transaction(project, work)
        return await self.get(project, flow)

    async def remove_alias(self, project: str, flow: UUID, name: str) -> FlowView:
        """A name that the flow doesn't have is no error; raise `FlowNotFound`."""

        async def work(session: Session) -> None:
            await self.touch(session, project, flow)
            changes = await self._aliases.remove(session, project, name, flow)
            await self._feed.record(session, project, *changes)

        await self._feed.transaction(project, work)
        return await self.get(project, flow)

    async def delete(self, project: str, flow: UUID) -> None:
        """For good, its aliases with it; what it had stays, and belongs to no flow from now on.

        Nothing is written to its jobs and images, however many they are: `Membership` shows them
        without a flow that isn't there. Raise `FlowNotFound`.
        """

        async def work(session: Session) -> None:
            key = {"_id": flow, "project": project}
            if (await self._flows.delete_one(key, session=session)).deleted_count == 0:
                raise FlowNotFound
            held = {"project": project, "flow_id": flow}
            await self._mongo.aliases.delete_many(held, session=session)
            await disturb(self._mongo, [project], session)
            await self._feed.record(session, project, change(FlowDeleted, flow, flow_id=flow))

        await self._feed.transaction(project, work)

    async def touch(self, session: Session, project: str, flow: UUID) -> None:
        """A write, so that a deletion at the same time collides with it; raise `FlowNotFound`."""
        key = {"_id": flow, "project": project}
        touched = await self._flows.update_one(
            key, {"$set": {"updated_at": now()}}, session=session
        )
        if touched.matched_count == 0:
            raise FlowNotFound

    async def _counted(self, session: Session, flows: Sequence[Flow]) -> tuple[FlowView, ...]:
        ids = [flow.id for flow in flows]
        jobs = await _by_flow(self._mongo.jobs, ids, "deleted_at", session)
        images = await _by_flow(self._mongo.images, ids, "marks.deleted_at", session)
        return tuple(
            FlowView(flow=flow, generations=jobs.get(flow.id, 0), images=images.get(flow.id, 0))
            for flow in flows
        )


def new_flow(project: str, meta: Meta, flow_id: UUID | None = None) -> Flow:
    return Flow(id=flow_id or uuid_utils.compat.uuid7(), project=project, meta=meta)


async def _by_flow(
    collection: Collection, flows: list[UUID], deleted: str, session: Session
) -> dict[UUID, int]:
    """All, less those that are deleted: both from an index alone, no document is fetched."""
    counts: dict[UUID, int] = {}
    for axis, sign in (("created_at", 1), (deleted, -1)):
        pipeline: list[Document] = [
            {"$match": {"flow_id": {"$in": flows}, axis: EVER}},
            {"$group": {"_id": "$flow_id", "count": {"$sum": 1}}},
        ]
        async for group in await collection.aggregate(pipeline, session=session):
            counts[group["_id"]] = counts.get(group["_id"], 0) + sign * int(group["count"])
    return counts
