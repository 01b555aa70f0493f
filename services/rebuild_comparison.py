"""What is live and what was rebuilt -> every difference that is one, page by page."""

from collections.abc import AsyncIterator, Iterable
from typing import Final
from uuid import UUID

from schemas.images import ImageSource
from services.mongo import Collection, Document
from services.rebuild import PATIENCE, Rebuild
from services.rebuild_looks import Found, Kind, Looks, unpublished
from services.redelivery import waited_out

PAGE: Final = 1000  #: documents
SUSPECTS: Final = 10_000  #: looked at again together
LOOKS: Final = 10  #: at a document that changes every time


class Comparison:
    """Live documents go on changing: what differs is looked at again once both have caught up.

    What differs and has not changed in between is a difference: the rebuilt one has all of the
    log that the live one had at the first look, and the live one all that the rebuilt one has.
    Only an outcome is shown before it is on the log: until it is there, nothing is said of its job.
    """

    def __init__(self, rebuild: Rebuild) -> None:
        self.jobs = 0
        self.images = 0
        self.under_way = 0  #: changed, or was not on the log yet, at every look
        self._rebuild = rebuild
        self._looks = Looks(rebuild)
        self._live, self._side, self._told = rebuild.live, rebuild.side, rebuild.told

    async def differences(self) -> AsyncIterator[Found]:
        await self._rebuild.catch_up()
        suspects: dict[UUID, Found] = {}
        async for found in self._all():
            suspects[found.id] = found
            if len(suspects) >= SUSPECTS:
                async for sure in self._confirmed(suspects):
                    yield sure
                suspects = {}
        async for sure in self._confirmed(suspects):
            yield sure

    async def _all(self) -> AsyncIterator[Found]:
        jobs = await self._live.jobs.estimated_document_count()
        async for page in _pages(self._live.jobs, {}):
            for found in await self._looks.of_jobs(page):
                yield found
            self.jobs += len(page)
            self._told("comparing jobs", min(self.jobs / max(jobs, 1), 1.0))
        images = await self._side.images.estimated_document_count()
        async for page in _pages(self._side.images, {}):
            for found in await self._looks.of_images(page):
                yield found
            self.images += len(page)
            self._told("comparing images", min(self.images / max(images, 1), 1.0))
        async for page in _pages(self._live.images, {"source": ImageSource.GENERATED}):
            for found in await self._looks.of_images(page):
                if found.kind is Kind.SURPLUS:  # else it was looked at already
                    yield found

    async def _confirmed(self, suspects: dict[UUID, Found]) -> AsyncIterator[Found]:
        for _ in range(LOOKS):
            if not suspects:
                return
            ahead = await unpublished(self._live, suspects.values())  # looked up before the end
            await self._rebuild.catch_up()
            unsure: dict[UUID, Found] = {}
            async for again in self._again(suspects.values()):
                if again.job not in ahead and _same(again, suspects[again.id]):
                    yield again
                else:
                    unsure[again.id] = again
            suspects = unsure
        self.under_way += len(suspects)

    async def _again(self, suspects: Iterable[Found]) -> AsyncIterator[Found]:
        for name, look in (("jobs", self._looks.of_jobs), ("images", self._looks.of_images)):
            ids = [found.id for found in suspects if found.collection == name]
            for start in range(0, len(ids), PAGE):
                for found in await look(ids[start : start + PAGE]):
                    yield found


def _same(again: Found, before: Found) -> bool:
    """Nothing has happened to it; a job that is not rebuilt yet was admitted just now."""
    if again.collection == "jobs" and again.rebuilt is None:
        return False
    return (again.live, again.kind) == (before.live, before.kind)


async def _pages(collection: Collection, wanted: Document) -> AsyncIterator[list[UUID]]:
    last: Document = {}

    async def read() -> list[UUID]:
        found = collection.find(wanted | last, {"_id": 1}).sort("_id", 1).limit(PAGE)
        return [document["_id"] for document in await found.to_list(None)]

    while page := await waited_out(read, "mongo", PATIENCE):
        yield page
        last["_id"] = {"$gt": page[-1]}
