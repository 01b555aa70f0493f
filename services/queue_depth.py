"""The queue in -> how many runs wait, by state, lane and model; on the server's clock."""

from schemas.common import Value
from schemas.jobs import Lane
from schemas.queue import RowState
from services.mongo import Document, Mongo

UNDECIDED = (RowState.READY, RowState.WAITING, RowState.LEASED)


class Depth(Value):
    state: RowState
    lane: Lane
    model: str
    runs: int
    oldest_seconds: float


async def depths(mongo: Mongo) -> list[Depth]:
    """One query over the undecided, however many have ended."""
    pipeline: list[Document] = [
        {"$match": {"state": {"$in": list(UNDECIDED)}}},
        {
            "$group": {
                "_id": {"state": "$state", "lane": "$lane", "model": "$spec.model"},
                "runs": {"$sum": 1},
                "oldest": {"$min": "$queued_at"},
            }
        },
        {"$set": {"milliseconds": {"$subtract": ["$$NOW", "$oldest"]}}},
    ]
    return [
        Depth(
            state=group["_id"]["state"],
            lane=tuple(Lane)[group["_id"]["lane"]],
            model=group["_id"].get("model") or "",
            runs=group["runs"],
            oldest_seconds=max(0.0, group["milliseconds"] / 1000),
        )
        async for group in await mongo.queue.aggregate(pipeline)
    ]
