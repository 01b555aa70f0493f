"""Events a second into the read model: our fold against one raw bulk operation an event.

Both sides start from records in memory and write the same documents with the same concern, in the
projector's own batches, one after the other; fetching from Kafka is on neither side.
"""

from collections.abc import Callable, Iterator, Sequence
from time import perf_counter, process_time
from typing import Final, NamedTuple
from uuid import UUID

from aiokafka import TopicPartition
from pymongo import InsertOne, UpdateOne

from benchmarks.figures import Pair, Row, Side, rate_row
from benchmarks.history import EVENTS, PARTITION, new_jobs, records
from benchmarks.sandbox import Sandbox
from schemas.jobs import Job, JobState
from services import heap
from services.inserts import job_document
from services.mongo import Document, Mongo, open_mongo
from services.projection import fold, images_of
from services.projection_documents import stored
from services.projection_store import ProjectionStore
from services.records import Record, Told, read
from services.watchdog import Watchdog
from workers.projector import BATCH, PATIENCE, Projector

PAIRS: Final = 5
JOBS: Final = 2000  #: a round
AT_LEAST: Final = 0.9


class Operations(NamedTuple):
    states: list[UpdateOne]
    images: list[InsertOne[Document]]


async def measure(box: Sandbox, seconds: float, tick: Callable[[float], None]) -> Row:
    """New jobs each round; as many pairs as fit in `seconds`, at least `PAIRS`."""
    heap.settle()  # as the projector does
    began = perf_counter()
    pairs: list[Pair] = []
    async with open_mongo(box.settings.mongo) as mongo:
        store = ProjectionStore(mongo)
        await ours(store, await _inserted(mongo, box))
        while len(pairs) < PAIRS or perf_counter() - began < seconds:
            mine = await ours(store, await _inserted(mongo, box))
            pairs.append(Pair(ours=mine, floor=await floor(mongo, await _inserted(mongo, box))))
            tick(min(len(pairs) / PAIRS, (perf_counter() - began) / seconds))
    return rate_row("projected", "1/s", pairs, AT_LEAST)


class Fetched:
    """Stands for aiokafka's consumer: all that comes is in memory already."""

    def __init__(self, told: Sequence[Record]) -> None:
        topic, _, number = PARTITION.rpartition(":")
        self._place = TopicPartition(topic, int(number))
        self.batches = list(_batches(told))

    def assignment(self) -> set[TopicPartition]:
        return {self._place}

    def seek(self, _place: TopicPartition, _offset: int) -> None:
        return

    async def getmany(self, **_limits: int) -> dict[TopicPartition, Sequence[Record]]:
        return {self._place: self.batches.pop(0)}


async def ours(store: ProjectionStore, jobs: Sequence[Job]) -> Side:
    """The worker's own steps."""
    fetched = Fetched(records(jobs))
    projector = Projector(fetched, store, Watchdog(PATIENCE))
    began, cpu = perf_counter(), process_time()
    while fetched.batches:
        await projector.step()
    await projector.written()
    return _side(began, cpu)


async def floor(mongo: Mongo, jobs: Sequence[Job]) -> Side:
    """The documents are made beforehand: only the driver and the server are timed."""
    states: dict[UUID, JobState] = {}
    batches = [operations(batch, states) for batch in _batches(records(jobs))]
    began, cpu = perf_counter(), process_time()
    for batch in batches:
        await mongo.jobs.bulk_write(batch.states, ordered=False)
        if batch.images:
            await mongo.images.bulk_write(batch.images, ordered=False)
    return _side(began, cpu)


def operations(batch: Sequence[Record], states: dict[UUID, JobState]) -> Operations:
    """One operation an event; `states` is what the events before have come to."""
    operations = Operations([], [])
    for record in batch:
        told = read(record)
        assert isinstance(told, Told)
        states[told.job] = fold(states.get(told.job, JobState()), told.event)
        state = stored(states[told.job])
        operations.states.append(UpdateOne({"_id": told.job}, {"$set": {"state": state}}))
        for image in images_of(told.event):
            facts = image.model_dump(by_alias=True, exclude={"marks"}, exclude_none=True)
            operations.images.append(InsertOne(facts))
    return operations


async def _inserted(mongo: Mongo, box: Sandbox) -> list[Job]:
    jobs = new_jobs(JOBS, box.settings.project)
    await mongo.jobs.insert_many([job_document(job) for job in jobs])
    return jobs


def _batches(told: Sequence[Record]) -> Iterator[Sequence[Record]]:
    for start in range(0, len(told), BATCH):
        yield told[start : start + BATCH]


def _side(began: float, cpu: float) -> Side:
    events = JOBS * EVENTS
    return Side(
        value=events / (perf_counter() - began),
        cpu_ms_per_item=(process_time() - cpu) * 1000 / events,
    )
