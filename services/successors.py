"""Runs that wait for others: ready when all of those have succeeded, doomed when one did not."""

from uuid import UUID

from schemas.queue import QueueRow, RowState
from services.mongo import Mongo


class Successors:
    def __init__(self, mongo: Mongo) -> None:
        self._rows = mongo.queue

    async def settle_run(self, run: UUID) -> list[QueueRow]:
        """After a run's outcome: free the runs that waited for it, return those to cancel."""
        waiting = {"state": RowState.WAITING, "after": run}
        if await self._rows.find_one(waiting, {"_id": 1}) is None:
            return []
        return await self.settle({run})

    async def settle_waiting(self) -> list[QueueRow]:
        """The net under `settle_run`: a crash between an outcome and its consequences."""
        return await self.settle(
            set(await self._rows.distinct("after", {"state": RowState.WAITING}))
        )

    async def settle(self, runs: set[UUID]) -> list[QueueRow]:
        """Waiting runs lose what has succeeded from `after`; ready when nothing is left."""
        ended = {"_id": {"$in": list(runs)}, "outcome": {"$ne": None}}
        succeeded: set[UUID] = set()
        lost: set[UUID] = set()
        async for row in self._rows.find(ended, {"outcome.type": 1}):
            good = row["outcome"]["type"].endswith(".completed.v1")
            (succeeded if good else lost).add(row["_id"])
        if succeeded:
            await self._rows.update_many(
                {"state": RowState.WAITING, "after": {"$in": list(succeeded)}},
                {"$pull": {"after": {"$in": list(succeeded)}}},
            )
        await self._rows.update_many(
            {"state": RowState.WAITING, "after": []}, {"$set": {"state": RowState.READY}}
        )
        doomed = {"state": RowState.WAITING, "after": {"$in": list(lost - succeeded)}}
        return [QueueRow.model_validate(row) async for row in self._rows.find(doomed)]
