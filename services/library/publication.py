"""Rows of the libraries' outbox -> library.events, each project's in its order, then gone."""

import asyncio
from typing import Final

from schemas.topics import LIBRARY_EVENTS
from services import metrics
from services.broker import Publisher
from services.mongo import Mongo

PROJECTS: Final = 32  #: at the same time
BATCH: Final = 500  #: events of one project a round, so that none keeps the others waiting


class Publication:
    """At least once: a death before the row is gone publishes the same bytes again."""

    def __init__(self, mongo: Mongo, publisher: Publisher) -> None:
        self._rows = mongo.library_outbox
        self._publisher = publisher

    async def publish(self) -> None:
        """One round; raise an outage after all projects had their try."""
        places = asyncio.Semaphore(PROJECTS)

        async def one(project: str) -> None:
            async with places:
                await self._publish(project)

        projects = await self._rows.distinct("project")
        ends = await asyncio.gather(*map(one, projects), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def _publish(self, project: str) -> None:
        """One after the other: what the broker did not take must not be overtaken."""
        published = []
        rows = self._rows.find({"project": project}).sort("sequence", 1).limit(BATCH)
        try:
            async for row in rows:
                await self._publisher.publish(LIBRARY_EVENTS, project, row["event"])
                published.append(row["_id"])
        finally:
            if published:
                await self._rows.delete_many({"_id": {"$in": published}})
                metrics.LIBRARY_PUBLISHED.inc(len(published))
