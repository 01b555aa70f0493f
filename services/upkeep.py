"""What nobody asks for but time: long waits are cut short, and what losers left is deleted."""

import structlog

from schemas.events import EVENTS, GenerationCompleted
from schemas.queue import QueueRow
from services.fairness import Fairness
from services.object_store import S3ObjectStore
from services.queue import Queue

log = structlog.get_logger()


class Upkeep:
    """Any worker does it, and all of them may at once."""

    def __init__(self, queue: Queue, fairness: Fairness, store: S3ObjectStore) -> None:
        self._queue = queue
        self._fairness = fairness
        self._store = store

    async def age(self) -> None:
        """A run that has waited long joins the next lane, as if it came there now."""
        for row in await self._queue.aged():
            moved = await self._fairness.retag(row.model_copy(update={"lane": row.lane - 1}))
            await self._queue.move(row, moved.lane, moved.vft)

    async def sweep_objects(self) -> None:
        """Pictures of attempts that lost are in no event: nobody can ask for them."""
        for row in await self._queue.with_uploads():
            losers = set(row.uploads) - _winners(row)
            for key in losers:
                await self._store.delete(key)
            await self._queue.uploads_swept(row)
            if losers:
                log.info("objects_deleted", run_id=str(row.id), objects=len(losers))


def _winners(row: QueueRow) -> set[str]:
    assert row.outcome is not None, "only decided rows are swept"
    event = EVENTS.validate_json(row.outcome.event)
    if not isinstance(event, GenerationCompleted):
        return set()
    return {picture.relative_path for picture in event.data.images}
