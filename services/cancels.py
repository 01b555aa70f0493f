"""Someone wants a run to stop: a flag on its row, or a stub for the row that is still to come."""

from collections.abc import Sequence
from uuid import UUID

from pymongo import ReturnDocument

from schemas.common import now
from schemas.queue import QueueRow, RowState
from services.mongo import Mongo
from services.queue_rows import row_document


class Cancels:
    def __init__(self, mongo: Mongo) -> None:
        self._rows = mongo.queue

    async def current_run(self, job: UUID, project: str) -> UUID | None:
        """The latest run of a job, for a cancel that names none."""
        row = await self._rows.find_one(
            {"job": job, "project": project}, {"_id": 1}, sort=[("run_number", -1)]
        )
        return row["_id"] if row else None

    async def request(self, run: UUID, job: UUID, project: str, reason: str) -> QueueRow | None:
        """Flag the run and return it; a run that is not there yet leaves its flag for later.

        None when the run is another job's or another project's.
        """
        flags = {"cancel": True, "cancel_reason": reason}
        stub = QueueRow(id=run, job=job, project=project, state=RowState.OVERTAKEN, **flags)
        document = {**row_document(stub), "ended_at": now()}  # it may wait for nothing
        await self._rows.update_one(
            {"_id": document.pop("_id")}, {"$setOnInsert": document}, upsert=True
        )
        row = await self._rows.find_one_and_update(
            {"_id": run, "job": job, "project": project},
            {"$set": flags},
            return_document=ReturnDocument.AFTER,
        )
        return QueueRow.model_validate(row) if row else None

    async def overtaken(self, rows: Sequence[QueueRow]) -> list[QueueRow]:
        """Those whose cancel came first: as they were asked for, with what the cancel said."""
        asked = {row.id: row for row in rows}
        found = self._rows.find({"_id": {"$in": list(asked)}, "state": RowState.OVERTAKEN})
        stubs = [QueueRow.model_validate(stub) async for stub in found]
        kept = ("state", "cancel", "cancel_reason")
        return [
            asked[stub.id].model_copy(update={name: getattr(stub, name) for name in kept})
            for stub in stubs
        ]

    async def drop_foreign(self, rows: Sequence[QueueRow]) -> bool:
        """Ids of the second door can be guessed: nobody cancels another project's run ahead."""
        foreign = [
            {
                "_id": row.id,
                "state": RowState.OVERTAKEN,
                "$nor": [{"job": row.job, "project": row.project}],
            }
            for row in rows
        ]
        dropped = await self._rows.delete_many({"$or": foreign})
        return dropped.deleted_count > 0
