"""What every list of a library shares: newest first, a page and its total of one moment.

What belongs to a flow that was deleted belongs to none, whatever its document says: facts are
written once, and a picture that comes after the deletion is no exception.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar
from uuid import UUID

from schemas.common import Value
from schemas.images import Image
from schemas.jobs import Job
from services.mongo import Document, Mongo, Session

T = TypeVar("T")
Owned = TypeVar("Owned", Job, Image)

NEWEST: Final = [("created_at", -1), ("_id", -1)]  #: total: ids decide between equal times
EVER: Final = {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}  #: of any time there is


class Page(Value, Generic[T]):
    items: tuple[T, ...]
    total: int  #: of the filter, not of the page


class Membership:
    """Which flows there are, so that nothing shows one that is gone."""

    def __init__(self, mongo: Mongo) -> None:
        self._flows = mongo.flows

    async def scope(
        self, project: str, flow: UUID | None, session: Session | None = None
    ) -> Document | None:
        """What a list is searched by: the project or one of its flows; None if that isn't there."""
        if flow is None:
            return {"project": project}
        return {"flow_id": flow} if await self._existing(project, (flow,), session) else None

    async def shown(
        self, project: str, items: Sequence[Owned], session: Session | None = None
    ) -> tuple[Owned, ...]:
        """`items`, those of flows that are gone without their flow."""
        flows = {item.flow_id for item in items if item.flow_id is not None}
        if not flows - (there := await self._existing(project, flows, session)):
            return tuple(items)
        return tuple(
            item if item.flow_id in there else item.model_copy(update={"flow_id": None})
            for item in items
        )

    async def _existing(
        self, project: str, flows: Iterable[UUID], session: Session | None
    ) -> set[UUID]:
        if not (ids := list(flows)):
            return set()
        wanted = {"_id": {"$in": ids}, "project": project}
        found = await self._flows.find(wanted, {"_id": 1}, session=session).to_list(None)
        return {flow["_id"] for flow in found}
