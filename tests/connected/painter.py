"""Who makes pictures for tests of the API: an object, and the event that is folded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from uuid import UUID, uuid4

from schemas.jobs import Job, Status
from services.mongo import Mongo
from services.object_store import S3ObjectStore
from tests.conditions import PAUSE
from tests.connected.library_parts import completed, failed


class Painter:
    """`hold` to let jobs wait, `fail` to end them without a picture."""

    def __init__(self, mongo: Mongo, store: S3ObjectStore, project: str) -> None:
        self._mongo = mongo
        self._store = store
        self._project = project
        self.seen: list[UUID] = []
        self.hold = False
        self.fail = False

    async def paint(self) -> None:
        while True:
            await asyncio.sleep(PAUSE)
            if self.hold:
                continue
            async for document in self._mongo.jobs.find({"project": self._project}):
                job = Job.model_validate(document)
                if job.status is Status.PENDING:
                    await self._end(job)

    async def _end(self, job: Job) -> None:
        self.seen.append(job.id)
        if self.fail:
            await failed(self._mongo, job)
            return
        image, content = uuid4(), f"a picture of {job.spec.prompt}".encode()
        path, digest = f"generated/{image}.png", sha256(content).hexdigest()
        await self._store.put(path, content, "image/png", digest)
        await completed(self._mongo, job, image)


@asynccontextmanager
async def painter(mongo: Mongo, store: S3ObjectStore, project: str) -> AsyncIterator[Painter]:
    made = Painter(mongo, store, project)
    painting = asyncio.create_task(made.paint())
    yield made
    if painting.done():
        painting.result()
    painting.cancel()
