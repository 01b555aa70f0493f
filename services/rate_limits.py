"""A key's limit -> whether one more request fits: one atomic write, so exact on every replica.

A window begins with the first request that counts and takes as many as the limit says. It is
kept on the server's clock in one document a key; keys without a limit never come here.
"""

from datetime import timedelta
from math import ceil
from typing import Final

from pydantic import Field
from pymongo import ReturnDocument

from schemas.common import Time, Value, now
from services.mongo import Document, Mongo

UNITS: Final = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}


class Rate(Value):
    """ "100/hour" in numbers."""

    quota: int
    window: timedelta

    @classmethod
    def parse(cls, limit: str) -> "Rate":
        quota, _, unit = limit.partition("/")
        return cls(quota=int(quota), window=UNITS[unit])


class Window(Value):
    """The document in `rate_limits`; MongoDB deletes it some time after it is over."""

    key_id: str = Field(alias="_id")
    used: int
    ends_at: Time
    passed: bool  #: the last request that asked; refused ones change nothing more


class Budget(Value):
    """What a key may still do in its window, after the request that asked."""

    rate: Rate
    window: Window

    @property
    def remaining(self) -> int:
        return max(0, self.rate.quota - self.window.used)

    @property
    def resets_in(self) -> int:
        """Seconds, rounded up; by our clock, so never more than the window has."""
        left = min(self.window.ends_at - now(), self.rate.window)
        return max(1, ceil(left.total_seconds()))


class RateLimits:
    """The windows of every key."""

    def __init__(self, mongo: Mongo) -> None:
        self._windows = mongo.rate_limits

    async def take(self, key_id: str, limit: str) -> Budget:
        """Count one request, unless the window is full."""
        rate = Rate.parse(limit)
        document = await self._windows.find_one_and_update(
            {"_id": key_id}, _counted(rate), upsert=True, return_document=ReturnDocument.AFTER
        )
        return Budget(rate=rate, window=Window.model_validate(document))

    async def give_back(self, budget: Budget) -> None:
        """The request that was counted made nothing after all."""
        window = {"_id": budget.window.key_id, "ends_at": budget.window.ends_at}
        await self._windows.update_one(window, {"$inc": {"used": -1}})


def _counted(rate: Rate) -> list[Document]:
    """A window that would end later than a new one is of a longer limit, and gone with it."""
    latest = {"$add": ["$$NOW", int(rate.window.total_seconds() * 1000)]}
    runs: Document = {"$and": [{"$gt": ["$ends_at", "$$NOW"]}, {"$lte": ["$ends_at", latest]}]}
    fits: Document = {"$or": [{"$not": [runs]}, {"$lt": ["$used", rate.quota]}]}
    used: Document = {"$cond": [runs, "$used", 0]}
    return [
        {
            "$set": {
                "passed": fits,
                "used": {"$cond": [fits, {"$add": [used, 1]}, used]},
                "ends_at": {"$cond": [runs, "$ends_at", latest]},
            }
        }
    ]
