"""Differences in, corrected documents out; what they replace is kept in `replaced`."""

from typing import Any, Final
from uuid import UUID

from pymongo.errors import DuplicateKeyError

from schemas.common import now
from schemas.images import ImageSource
from services.library.totals import disturb
from services.mongo import Mongo
from services.rebuild import PATIENCE
from services.rebuild_looks import Found, Kind, unpublished
from services.redelivery import waited_out

NOT_PURGED: Final = {"marks.purged_at": None}


class Corrections:
    """Beside the projector: whoever has written a document since is not overwritten."""

    def __init__(self, mongo: Mongo, rebuild: UUID) -> None:
        self._mongo = mongo
        self._rebuild = rebuild

    async def apply(self, found: Found) -> bool:
        """False when the document has changed since it was compared, or is ahead of the log."""
        if await unpublished(self._mongo, [found]):
            return False
        correct = self._state if found.collection == "jobs" else self._facts

        async def work() -> bool:
            await self._keep(found)
            await disturb(self._mongo, [found.project])
            return await correct(found)

        return await waited_out(work, "mongo", PATIENCE)

    async def _keep(self, found: Found) -> None:
        """Before anything is written; once, however often an outage has it tried."""
        kept = {
            "rebuild": self._rebuild,
            "collection": found.collection,
            "document": found.id,
            "project": found.project,
            "before": found.live,
            "after": found.rebuilt,
            "replaced_at": now(),
        }
        name = f"{self._rebuild}:{found.collection}:{found.id}"
        await self._mongo.replaced.update_one({"_id": name}, {"$set": kept}, upsert=True)

    async def _state(self, found: Found) -> bool:
        as_compared = {"_id": found.id, "folds": found.folds or None}
        written = {"state": found.rebuilt, "folds": found.folds + 1}
        done = await self._mongo.jobs.update_one(as_compared, {"$set": written})
        return done.matched_count == 1

    async def _facts(self, found: Found) -> bool:
        images, this = self._mongo.images, {"_id": found.id, **NOT_PURGED}
        if found.rebuilt is None:
            gone = await images.delete_one({**this, "source": ImageSource.GENERATED})
            return gone.deleted_count == 1
        if found.kind is Kind.MISSING:
            try:
                await images.insert_one(found.rebuilt)
            except DuplicateKeyError:  # the projector or a purge was quicker
                return False
            return True
        update: dict[str, Any] = {"$set": found.rebuilt}
        if surplus := {name: "" for name in found.live or {} if name not in found.rebuilt}:
            update["$unset"] = surplus
        return (await images.update_one(this, update)).matched_count == 1
