"""What nobody asks for but time: long waits are cut short, and what losers left is deleted."""

from typing import Final

import structlog

from schemas.events import EVENTS, GenerationCompleted
from schemas.jobs import Lane
from schemas.queue import QueueRow, RowState
from services.fairness import Fairness
from services.mongo import Mongo
from services.object_store import S3ObjectStore
from services.queue_rows import from_now
from services.settings import GeneratorSettings

log = structlog.get_logger()

SWEPT_AFTER: Final = 60.0  #: seconds; longer than an upload that goes on after its lease


class Upkeep:
    """Any worker does it, and all of them may at once."""

    def __init__(
        self, mongo: Mongo, settings: GeneratorSettings, fairness: Fairness, store: S3ObjectStore
    ) -> None:
        self._rows = mongo.queue
        self._settings = settings
        self._fairness = fairness
        self._store = store

    async def age(self) -> None:
        """A run that has waited long joins the next lane, as if it came there now."""
        for row in await self._aged():
            moved = await self._fairness.retag(row.model_copy(update={"lane": row.lane - 1}))
            await self._move(row, moved.lane, moved.vft)

    async def sweep_objects(self) -> None:
        """Pictures of attempts that lost are in no event: nobody can ask for them."""
        for row in await self._with_uploads():
            losers = set(row.uploads) - _winners(row)
            for key in losers:
                await self._store.delete(key)
            await self._uploads_swept(row)
            if losers:
                log.info("objects_deleted", run_id=str(row.id), objects=len(losers))

    async def _aged(self, limit: int = 50) -> list[QueueRow]:
        """Runs that have waited so long that they belong in a more urgent lane."""
        patience = self._settings.ageing.total_seconds()
        last = len(Lane) - 1
        old = [
            {
                "lane": lane,
                "$expr": {"$lt": ["$queued_at", from_now(-patience * (last - lane + 1))]},
            }
            for lane in range(1, last + 1)
        ]
        found = self._rows.find({"state": RowState.READY, "$or": old}).limit(limit)
        return [QueueRow.model_validate(row) async for row in found]

    async def _move(self, row: QueueRow, lane: int, vft: float) -> None:
        """To another lane, unless it was claimed or moved meanwhile."""
        here = {"_id": row.id, "state": RowState.READY, "lane": row.lane}
        await self._rows.update_one(here, {"$set": {"lane": lane, "vft": vft}})

    async def _with_uploads(self, limit: int = 100) -> list[QueueRow]:
        """Decided runs whose object keys nobody has gone through yet."""
        late = {"$lt": ["$ended_at", from_now(-SWEPT_AFTER)]}
        found = self._rows.find(
            {"state": RowState.DONE, "uploads.0": {"$exists": True}, "$expr": late}
        )
        return [QueueRow.model_validate(row) async for row in found.limit(limit)]

    async def _uploads_swept(self, row: QueueRow) -> None:
        await self._rows.update_one(
            {"_id": row.id, "state": RowState.DONE}, {"$set": {"uploads": []}}
        )


def _winners(row: QueueRow) -> set[str]:
    assert row.outcome is not None, "only decided rows are swept"
    event = EVENTS.validate_json(row.outcome.event)
    if not isinstance(event, GenerationCompleted):
        return set()
    return {picture.relative_path for picture in event.data.images}
