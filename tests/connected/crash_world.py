"""A MongoDB, a Kafka and an S3 in which processes live and die, and what must hold afterwards."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, cast
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.events import EVENTS, GenerationCompleted, GenerationEvent, TerminalEvent
from schemas.jobs import GenerationSpec, Job
from schemas.queue import QueueRow, RowState
from schemas.topics import DEAD_LETTERS, GENERATION_COMMANDS, GENERATION_EVENTS, Topic
from services.accounts import Keys
from services.admission import Admission, Wish
from services.broker import Publisher, client_settings
from services.cancels import Cancels
from services.claims import Claims
from services.commands import CommandReader
from services.decisions import Decisions
from services.engine.catalogue import Catalogue
from services.engine.messages import Generated
from services.engine.process import EngineProcess, OnProgress
from services.enhancement import Enhancements
from services.errors import NotFound, OutOfMemory
from services.estimates import Durations
from services.fairness import Fairness
from services.fulfilment import Fulfilment
from services.indexes import COLLECTIONS
from services.intake import Intake
from services.issuance import CreatedKey
from services.leases import Leases
from services.mongo import Mongo, open_mongo
from services.object_store import S3ObjectStore
from services.outbox import Outbox
from services.outcomes import Outcomes
from services.projection_documents import FoldedDocuments
from services.projection_store import ProjectionStore
from services.queue import Queue
from services.records import Record
from services.settings import ROOT, Settings
from services.signing import Signer
from services.slot import Slot, Turn
from services.sourcing import Sourcing
from services.successors import Successors
from services.upkeep import Upkeep
from tests.conditions import until_answered
from tests.connected.crash_parts import Fuse, FusedMongo, FusedPublisher, FusedStore, lived
from tests.connected.test_fulfilment import generated

CATALOGUE: Final = Catalogue.load(ROOT / "models" / "models.yaml")
SIGNER: Final = Signer("a master secret of tests")
ROUNDS: Final = 12  #: of recovery; then something goes round in circles
AN_HOUR: Final = 3_600_000  #: milliseconds
REFUSED, DEADLY = "a picture that needs 12 GiB", "a picture that kills the worker"

Step = Callable[["Process"], Awaitable[object]]


class Log:
    """A topic from the world's beginning; `group`s commit how far they are."""

    def __init__(self, consumer: Any, topic: str, partitions: int) -> None:
        self._consumer = consumer
        self._places = [TopicPartition(topic, number) for number in range(partitions)]
        self.records: list[Any] = []

    async def begin(self, commit: bool) -> None:
        """What was there before is no part of this world."""
        self.records.clear()
        self._consumer.assign(self._places)
        await self._consumer.seek_to_end(*self._places)
        self.starts = {place: await self._consumer.position(place) for place in self._places}
        if commit:
            await self._consumer.commit(self.starts)

    async def to_committed(self) -> None:
        for place in self._places:
            self._consumer.seek(place, await self._consumer.committed(place))

    async def read_on(self) -> list[Any]:
        """Everything up to the present end."""
        found = []
        ends = await self._consumer.end_offsets(self._places)
        while behind := [p for p in self._places if await self._consumer.position(p) < ends[p]]:
            batches = await self._consumer.getmany(*behind, timeout_ms=1000)
            found += [record for batch in batches.values() for record in batch]
        self.records += found
        return found

    async def commit(self) -> None:
        await self._consumer.commit(
            {place: await self._consumer.position(place) for place in self._places}
        )


@asynccontextmanager
async def log_of(stack: Settings, topic: Topic) -> AsyncIterator[Log]:
    consumer = AIOKafkaConsumer(
        **client_settings(stack.kafka),
        group_id=f"crashes-{uuid4().hex}",
        enable_auto_commit=False,
        fetch_max_wait_ms=20,
    )
    async with consumer:
        yield Log(consumer, stack.kafka.topic_prefix + topic.name, topic.partitions)


class QuickEngine:
    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse

    async def warm(self) -> None:
        return

    async def generate(
        self, spec: GenerationSpec, *, references: Sequence[bytes], on_progress: OnProgress
    ) -> Generated:
        self._fuse.check()
        if spec.prompt == REFUSED:
            raise OutOfMemory("12 GiB short")
        if spec.prompt == DEADLY:
            self._fuse.blow()
        return generated(spec)


class World:
    """What outlives every process."""

    def __init__(
        self,
        *,
        stack: Settings,
        mongo: Mongo,
        publisher: Publisher,
        store: S3ObjectStore,
        commands: Log,
        events: Log,
        letters: Log,
    ) -> None:
        self.stack = stack
        self.mongo = mongo
        self.publisher = publisher
        self.store = store
        self.commands = commands
        self.events = events
        self.letters = letters
        self.objects: set[str] = set()  #: keys that anybody has put

    async def begin(self) -> None:
        for name in COLLECTIONS:
            await self.mongo.database[name].delete_many({})
        self.objects.clear()
        for log in (self.commands, self.events, self.letters):
            await log.begin(commit=log is self.commands)
        starts = [
            {"_id": f"{place.topic}:{place.partition}", "offset": offset}
            for place, offset in self.events.starts.items()
        ]
        await self.mongo.offsets.insert_many(starts)

    async def key(self) -> CreatedKey:
        return await Keys(self.mongo, SIGNER).create("strangers")

    async def live(self, fuse: Fuse, *steps: Step) -> bool:
        """A process that takes these steps; False when it died."""
        process = Process(self, fuse)

        async def take() -> None:
            for step in steps:
                await step(process)
            await process.end()

        survived = await lived(fuse, take())
        if not survived:
            await process.bury()
        return survived

    async def recover(self) -> None:
        """Fresh processes and time, until nothing changes any more."""
        before = None
        for _ in range(ROUNDS):
            await self.pass_time()
            await self.live(Fuse(), *LIFE)
            if (after := await self._seen()) == before:
                return
            before = after
        raise AssertionError(f"not quiet after {ROUNDS} rounds: {before}")

    async def pass_time(self) -> None:
        """An hour, for every clock that anything waits for."""
        for field in ("lease_until", "due", "ended_at", "outcome.decided_at"):
            await turn_back(self.mongo.queue, field)
        await turn_back(self.mongo.jobs, "created_at")

    async def jobs(self) -> list[Job]:
        return [Job.model_validate(found) async for found in self.mongo.jobs.find()]

    async def rows(self) -> list[QueueRow]:
        return [QueueRow.model_validate(found) async for found in self.mongo.queue.find()]

    async def outcomes(self) -> dict[UUID, set[bytes]]:
        """The distinct terminal events of each run."""
        await self.events.read_on()
        told: dict[UUID, set[bytes]] = defaultdict(set)
        for record in self.events.records:
            if isinstance(event := event_of(record), TerminalEvent):
                told[event.data.run_id].add(record.value)
        return told

    async def check(self, allowed: dict[str, set[str]], counts: set[int]) -> None:
        """One outcome each, told to all alike, nothing lost and nothing left."""
        told = await self.outcomes()
        jobs = await self.jobs()
        assert len(jobs) in counts
        runs = {run: job for job in jobs for run in (job.run, *job.state.runs)}
        assert set(told) == set(runs), "an outcome for every run that is there, and no other"
        winners: set[str] = set()
        for run, values in told.items():
            assert len(values) == 1, f"{len(values)} different outcomes"
            event = EVENTS.validate_json(next(iter(values)))
            job = runs[run]
            assert kind_of(event) in allowed[job.spec.prompt], kind_of(event)
            assert job.published
            assert job.status.terminal
            assert (job.output is not None) == (kind_of(event) == "completed")
            if isinstance(event, GenerationCompleted):
                winners |= {picture.relative_path for picture in event.data.images}
        assert await self.mongo.quarantine.count_documents({}) == 0
        rows = await self.rows()
        assert {(row.id, row.state, row.published, row.uploads) for row in rows} == {
            (run, RowState.DONE, True, ()) for run in runs
        }
        await self._check_claims(jobs)
        images = {image["picture"]["relative_path"] async for image in self.mongo.images.find()}
        assert images == winners
        assert {key for key in self.objects if await self._there(key)} == winners

    async def _check_claims(self, jobs: Sequence[Job]) -> None:
        """Whoever is there has what it claimed, and nobody else has anything."""
        held = {(name["name"], name["job_id"]) async for name in self.mongo.aliases.find()}
        assert held == {(job.alias, job.id) for job in jobs if job.alias}
        flows = {flow["_id"] async for flow in self.mongo.flows.find()}
        assert flows == {job.flow_id for job in jobs if job.flow_id}
        rows = await self.mongo.library_outbox.find().sort("sequence", 1).to_list(None)
        assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
        told = Counter(json.loads(row["event"])["type"].split(".")[-3] for row in rows)
        assert (told["alias"], told["flow"]) == (len(held), len(flows))

    async def check_refusals(self) -> None:
        """What was refused was so once: a repeated refusal has the same event id."""
        await self.letters.read_on()
        told = [json.loads(record.value) for record in self.letters.records + self.events.records]
        for kind in (".dead-letter.", ".rejected."):
            assert len({event["id"] for event in told if kind in event["type"]}) <= 1

    async def _there(self, key: str) -> bool:
        try:
            await self.store.head(key)
        except NotFound:
            return False
        return True

    async def _seen(self) -> object:
        rows = {(r.id, r.state, r.attempt, r.published, r.uploads) for r in await self.rows()}
        jobs = {(job.id, job.published, job.state.status) for job in await self.jobs()}
        await self.events.read_on()
        return rows, jobs, len(self.events.records)


class Process:
    """All of our processes in one, made anew after each death."""

    def __init__(self, world: World, fuse: Fuse) -> None:
        stack = world.stack
        mongo = FusedMongo(world.mongo, fuse)
        publisher = FusedPublisher(world.publisher, fuse)
        store = FusedStore(world.store, fuse, world.objects)
        queue = Queue(mongo, stack.generator)
        fairness = Fairness(mongo, CATALOGUE)
        documents = FoldedDocuments(mongo, hasty=True)
        outcomes = Outcomes(queue, Decisions(mongo), Successors(mongo), publisher, documents)
        self.slot = Slot()
        self.world = world
        self.fuse = fuse
        self.admission = Admission(mongo, publisher, SIGNER, CATALOGUE)
        self.outbox = Outbox(mongo, self.admission, stack.outbox)
        self.outcomes = outcomes
        self.claims = Claims(queue, fairness)
        self.upkeep = Upkeep(mongo, stack.generator, fairness, store)
        self.projection = ProjectionStore(mongo)
        self.fulfilment = Fulfilment(
            worker="test",
            catalogue=CATALOGUE,
            queue=queue,
            leases=Leases(queue, stack.generator),
            outcomes=outcomes,
            engine=cast(EngineProcess, QuickEngine(fuse)),
            store=store,
            publisher=publisher,
            enhancements=Enhancements(mongo, CATALOGUE, None),
            sourcing=Sourcing(mongo, store),
            durations=Durations(mongo, "crash"),
        )
        self.intake = Intake(
            settings=stack,
            reader=CommandReader(SIGNER, Keys(world.mongo, SIGNER)),
            admission=self.admission,
            fairness=fairness,
            queue=queue,
            cancels=Cancels(mongo),
            outcomes=outcomes,
            publisher=publisher,
            slot=self.slot,
        )

    async def submit(self, *wishes: Wish, **facts: Any) -> Sequence[Job]:
        jobs = (await self.admission.submit("demo", wishes, **facts)).jobs
        await self.end()
        return jobs

    async def take_in(self) -> None:
        """As a subscription does: the offsets are committed last."""
        await self.world.commands.to_committed()
        if records := await self.world.commands.read_on():
            await self.handle(records)

    async def take_in_idle(self) -> None:
        """While a worker that has found nothing waits for what comes."""
        waiting = asyncio.create_task(self.slot.turn(seconds=3600))
        await asyncio.sleep(0)
        await asyncio.gather(self._serve(waiting), self._ring_after(self.take_in()))

    async def _serve(self, waiting: asyncio.Task[Turn | None]) -> None:
        if turn := await waiting:
            await self.fulfilment.fulfil(turn, asyncio.Event())

    async def _ring_after(self, step: Awaitable[None]) -> None:
        await step
        self.slot.ring()

    async def handle(self, records: Sequence[Any]) -> None:
        await self.intake.take_in(records)
        await self.commit_offsets()

    async def commit_offsets(self) -> None:
        await self.fuse.write("commit offsets", self.world.commands.commit)

    async def sweep(self) -> None:
        await self.outcomes.sweep()

    async def work(self) -> None:
        while lease := await self.claims.next():
            await self.fulfilment.fulfil(Turn.claimed(lease), asyncio.Event())

    async def project(self) -> None:
        """From the stored offsets on, as the projector does."""
        await self.world.events.read_on()
        records = [
            Record(f"{told.topic}:{told.partition}", told.offset, told.value)
            for told in self.world.events.records
        ]
        self.projection.forget()
        places = await self.projection.positions({record.partition for record in records})
        if new := [record for record in records if record.offset >= places[record.partition]]:
            await self.projection.apply(new)

    async def sweep_objects(self) -> None:
        await self.upkeep.sweep_objects()

    async def republish(self) -> None:
        await self.outbox.republish()
        await self.end()

    async def end(self) -> None:
        """What admission does after its reply is done."""
        if (marking := self.admission.dispatch.marking) is not None:
            await marking

    async def bury(self) -> None:
        """Its death cleared up, so that no task of it outlives the test."""
        if (marking := self.admission.dispatch.marking) is not None:
            marking.cancel()
            await asyncio.gather(marking, return_exceptions=True)


#: What our processes do again and again; whoever held a lease is asked last.
LIFE: Final[tuple[Step, ...]] = (
    Process.republish,
    Process.sweep,
    Process.work,
    Process.take_in,
    Process.work,
    Process.sweep,
    Process.project,
    Process.sweep_objects,
)


def event_of(record: Any) -> GenerationEvent:
    return EVENTS.validate_json(record.value)


def kind_of(event: GenerationEvent) -> str:
    return event.type.split(".")[-2]


async def turn_back(collection: Any, field: str) -> None:
    earlier = {"$subtract": [f"${field}", AN_HOUR]}
    await collection.update_many({field: {"$type": "date"}}, [{"$set": {field: earlier}}])


@asynccontextmanager
async def world_of(stack: Settings) -> AsyncIterator[World]:
    """A database of its own; topics and bucket are shared, each test begins at their ends."""
    own = stack.mongo.model_copy(update={"database": f"test_{uuid4().hex}"})
    async with (
        open_mongo(own) as mongo,
        Publisher.open(stack.kafka) as publisher,
        S3ObjectStore.open(stack.s3) as store,
        log_of(stack, GENERATION_COMMANDS) as commands,
        log_of(stack, GENERATION_EVENTS) as events,
        log_of(stack, DEAD_LETTERS) as letters,
    ):
        for name, indexes in COLLECTIONS.items():
            if indexes:
                await mongo.database[name].create_indexes(list(indexes))
        await until_answered(lambda: _pinged(publisher))
        yield World(
            stack=stack,
            mongo=mongo,
            publisher=publisher,
            store=store,
            commands=commands,
            events=events,
            letters=letters,
        )
        await mongo.client.drop_database(own.database)


async def _pinged(publisher: Publisher) -> bool:
    await publisher.ping()
    return True
