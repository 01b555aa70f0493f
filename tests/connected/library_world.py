"""The processes around a library, each of which may die after any of its writes, and one worker."""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final, cast
from uuid import UUID, uuid4

from schemas.common import now
from schemas.events import COMMANDS, EVENTS, GenerationCancelRequested, TerminalEvent
from schemas.queue import Outcome, QueueRow, RowState
from services import run_events
from services.admission import Admission
from services.broker import Publisher
from services.library.decoding import DecodedUpload
from services.library.feed import Feed
from services.library.publication import Publication
from services.library.uploads import Uploads
from services.library.whole import Library
from services.mongo import Mongo
from services.object_store import S3ObjectStore
from services.outbox import Outbox
from services.projection_store import ProjectionStore
from services.queue_rows import row_document
from services.records import Record
from services.settings import OutboxSettings
from tests.connected.crash_parts import Fuse, FusedMongo, FusedPublisher, FusedStore, lived
from tests.connected.crash_world import turn_back
from tests.connected.library_parts import CATALOGUE, SIGNER
from tests.connected.queue_parts import RememberingPublisher, completed

PARTITION: Final = "test:0"
FILE: Final = DecodedUpload(
    content=b"pixels", sha256="0" * 64, width=8, height=8, mime_type="image/png", extension="png"
)


class Objects:
    """S3 for tests: keys that are there."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    async def put(self, key: str, *_: object) -> None:
        self.keys.add(key)

    async def delete(self, key: str) -> None:
        self.keys.discard(key)


class Process:
    """What an API process and the outbox's are made of."""

    def __init__(self, world: "World", fuse: Fuse) -> None:
        mongo = FusedMongo(world.mongo, fuse)
        publisher = FusedPublisher(cast(Publisher, world.kafka), fuse)
        store = FusedStore(cast(S3ObjectStore, world.objects), fuse, set())
        feed = Feed(mongo)
        self.mongo = mongo
        self.admission = Admission(mongo, publisher, SIGNER, CATALOGUE, feed)
        self.library = Library(mongo, feed, store, self.admission.cancel)
        self.uploads = Uploads(mongo, feed, store)
        self.publication = Publication(mongo, publisher)
        self.outbox = Outbox(mongo, self.admission, OutboxSettings(after=timedelta()))

    async def chores(self) -> None:
        await self.outbox.republish()
        await self.library.generations.see_retries()
        await self.library.deletion.sweep()
        await self.library.purging.sweep()
        await self.publication.publish()


class World:
    def __init__(self, mongo: Mongo) -> None:
        self.mongo = mongo
        self.kafka = RememberingPublisher()
        self.objects = Objects()
        self.log: list[TerminalEvent] = []
        self._taken_in = 0

    async def live(
        self, dies_after: int | None, life: Callable[[Process], Coroutine[Any, Any, object]]
    ) -> bool:
        """One process for one piece of work; False when it died of it."""
        fuse = Fuse(nth=dies_after)
        process = Process(self, fuse)

        async def whole() -> None:
            await life(process)
            if process.admission.dispatch.marking is not None:
                await process.admission.dispatch.marking

        return await lived(fuse, whole())

    async def project(self, dies_after: int | None) -> int:
        """Fold what is new of the log; the offset from which on nothing is folded."""
        fuse = Fuse(nth=dies_after)
        store = ProjectionStore(FusedMongo(self.mongo, fuse))
        folded = (await ProjectionStore(self.mongo).positions([PARTITION]))[PARTITION]
        records = [
            Record(PARTITION, folded + place, event.encode())
            for place, event in enumerate(self.log[folded:])
        ]

        async def whole() -> None:
            await store.positions([PARTITION])
            await store.apply(records)

        if records:
            await lived(fuse, whole())
        return (await ProjectionStore(self.mongo).positions([PARTITION]))[PARTITION]

    async def work(self, which: int, outcome: str) -> None:
        """Take in every command there is, then end one of the runs that are open."""
        await self._take_in()
        open_rows = [row async for row in self.mongo.queue.find({"state": "leased"}).sort("_id", 1)]
        if not open_rows:
            return
        row = QueueRow.model_validate(open_rows[which % len(open_rows)])
        await self._store(row, f"generated/{uuid4()}.png")  # of an attempt that was lost
        if outcome == "fail":
            await self._decide(row, run_events.failed(row, "out_of_memory", "12 GiB short"))
            return
        event = completed(row)
        for picture in event.data.images:
            await self._store(row, picture.relative_path)
        await self._decide(row, event)

    async def long_after(self) -> None:
        """Nothing that a purge waits for is still to be waited for."""
        for collection in (self.mongo.queue, self.mongo.removals):
            for name in ("outcome.decided_at", "due", "asked_at"):
                await turn_back(collection, name)

    async def check_objects(self, project: str, purged_jobs: set[UUID]) -> None:
        """Every picture that is there has its object; no attempt of a purged job has one."""
        there = {"project": project, "picture.relative_path": {"$gt": ""}}
        wanted = {each["picture"]["relative_path"] async for each in self.mongo.images.find(there)}
        assert wanted <= self.objects.keys
        gone = {"project": project, "job": {"$in": list(purged_jobs)}}
        async for row in self.mongo.queue.find(gone):
            assert not self.objects.keys & set(row["uploads"])
        uploads = {key for key in self.objects.keys if key.startswith("uploads/")}
        noted = {note["_id"] async for note in self.mongo.uploads.find()}
        assert uploads <= wanted | noted

    async def _take_in(self) -> None:
        commands = [value for topic, _, value in self.kafka.sent if topic == "generation.commands"]
        new, self._taken_in = commands[self._taken_in :], len(commands)
        for command in map(COMMANDS.validate_json, new):
            if isinstance(command, GenerationCancelRequested):
                assert command.data.run_id is not None
                await self._cancel(command.projectid, command.data.job_id, command.data.run_id)
                continue
            for job in command.data.jobs:
                assert job.job_id is not None
                row = QueueRow(
                    id=job.run_id,
                    job=job.job_id,
                    run_number=job.run_number,
                    project=command.projectid,
                    flow_id=job.flow_id,
                    state=RowState.LEASED,
                    spec=job.spec,
                )
                there = await self.mongo.queue.find_one({"_id": row.id})
                if there is None:
                    await self.mongo.queue.insert_one(row_document(row))
                elif there["state"] == RowState.OVERTAKEN:
                    await self._decide(row, run_events.cancelled(row, "overtaken"))

    async def _cancel(self, project: str, job: UUID, run: UUID) -> None:
        found = await self.mongo.queue.find_one({"_id": run})
        if found is None:
            stub = QueueRow(id=run, job=job, project=project, state=RowState.OVERTAKEN)
            await self.mongo.queue.insert_one(row_document(stub))
        elif found["state"] == RowState.LEASED:
            row = QueueRow.model_validate(found)
            await self._decide(row, run_events.cancelled(row, "no longer wanted"))

    async def _store(self, row: QueueRow, key: str) -> None:
        await self.mongo.queue.update_one({"_id": row.id}, {"$addToSet": {"uploads": key}})
        await self.objects.put(key)

    async def _decide(self, row: QueueRow, event: TerminalEvent) -> None:
        outcome = Outcome(type=event.type, event=event.encode()).model_dump()
        decided = {"state": RowState.DONE, "outcome": outcome, "ended_at": now()}
        await self.mongo.queue.update_one({"_id": row.id}, {"$set": decided})
        self.log.append(cast(TerminalEvent, EVENTS.validate_json(event.encode())))
