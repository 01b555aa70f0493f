"""How many there are of what a list shows: exact, without counting 10^6 at every request.

What only grows is counted once up to a moment that lies behind, and after it at every request.
What changes the part behind that moment (a purge, a late event, a retry) leaves a disturbance.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import uuid4

import structlog

from schemas.common import Value, now
from services.library.pages import EVER
from services.mongo import Collection, Document, Mongo, Session

log = structlog.get_logger()

SMALL: Final = 10_000  #: as many are simply counted: at most 3 ms
BEHIND: Final = timedelta(minutes=10)  #: whatever comes later than this is a disturbance
LATE: Final = timedelta(minutes=5)  #: what the projector calls late; clocks differ by less
SKEW: Final = timedelta(minutes=1)
KEPT: Final = timedelta(hours=24)  #: disturbances; a base is never as old


class Part(NamedTuple):
    """What is added or taken away; a set that grows along `axis`, or one that changes anyhow."""

    collection: Collection
    wanted: Document
    axis: str | None = None
    sign: int = 1


class _Base(Value):
    """The document in `totals`."""

    count: int  #: of all growing parts, up to `until`
    until: datetime
    counted_at: datetime


class Totals:
    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._recounts: dict[str, asyncio.Task[_Base]] = {}

    async def count(self, session: Session, project: str, name: str, parts: Sequence[Part]) -> int:
        """As of the session's moment; `name` is the list's, parameters and all."""
        plain = [part for part in parts if part.axis is None]
        growing = [part for part in parts if part.axis is not None]
        total = await _sum(plain, {}, session)
        key = f"{project} {name}"
        base = await self._base(session, project, key)
        if base is None:
            if growing and await _small(growing[0], session):
                return total + await _sum(growing, {}, session)
            base = await asyncio.shield(self._recounted(key, growing))
        since = await _sum(growing, {"$gt": base.until}, session)
        if since > SMALL:
            self._recounted(key, growing)
        return total + base.count + since

    async def _base(self, session: Session, project: str, key: str) -> _Base | None:
        found = await self._mongo.totals.find_one({"_id": key}, session=session)
        if found is None:
            return None
        base = _Base.model_validate(found)
        if now() - base.counted_at > KEPT - BEHIND:
            return None
        after = {"project": project, "at": {"$gt": base.counted_at - SKEW}}
        disturbed = await self._mongo.disturbances.find_one(after, {"_id": 1}, session=session)
        return None if disturbed else base

    def _recounted(self, key: str, growing: Sequence[Part]) -> asyncio.Task[_Base]:
        """Counts on when its caller's time is over: the next one finds it done."""
        if key not in self._recounts:
            task = asyncio.create_task(self._counted(key, growing))
            self._recounts[key] = task
            task.add_done_callback(lambda done: self._over(key, done))
        return self._recounts[key]

    async def _counted(self, key: str, growing: Sequence[Part]) -> _Base:
        """In a later moment than the caller's, and true in that one too: what lies behind is the
        same in both, or there is a disturbance."""
        counted_at = now()
        until = counted_at - BEHIND
        async with self._mongo.snapshot() as session:
            count = await _sum(growing, {"$lte": until}, session)
        base = _Base(count=count, until=until, counted_at=counted_at)
        await self._mongo.totals.replace_one({"_id": key}, base.model_dump(), upsert=True)
        return base

    def _over(self, key: str, done: asyncio.Task[_Base]) -> None:
        del self._recounts[key]
        if not done.cancelled() and (error := done.exception()) is not None:
            log.warning("recount_failed", name=key, error=type(error).__name__)


async def disturb(mongo: Mongo, projects: Iterable[str], session: Session | None = None) -> None:
    """Something behind has changed: what was counted of the projects no longer holds.

    A document of its own each time, so that transactions don't collide over it.
    """
    at = now()
    told = [{"_id": uuid4(), "project": project, "at": at} for project in projects]
    await mongo.disturbances.insert_many(told, session=session)


async def _small(part: Part, session: Session) -> bool:
    counted = part.collection.count_documents(part.wanted, limit=SMALL, session=session)
    return await counted < SMALL


async def _sum(parts: Sequence[Part], when: Document, session: Session) -> int:
    """Of those whose axis lies `when`."""
    total = 0
    for part in parts:
        wanted = part.wanted if part.axis is None else {**part.wanted, part.axis: when or EVER}
        total += part.sign * await part.collection.count_documents(wanted, session=session)
    return total
