"""generation.requested in, queue rows out; a slot claims a run, generates, commits its outcome."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from os import getpid
from typing import Final

import uvloop

from schemas.topics import GENERATION_COMMANDS
from services import heap, metrics, telemetry
from services.accounts import Keys
from services.admission import Admission
from services.broker import Publisher
from services.cancels import Cancels
from services.claims import Claims
from services.commands import CommandReader
from services.decisions import Decisions
from services.engine.catalogue import Catalogue
from services.engine.process import EngineProcess
from services.enhancement import Enhancements
from services.estimates import Durations
from services.fairness import Fairness
from services.fulfilment import Fulfilment
from services.intake import Intake
from services.language_model import LanguageModel
from services.leases import CANCELS_EVERY, Leases
from services.mongo import open_mongo
from services.object_store import S3ObjectStore
from services.outcomes import Outcomes
from services.projection_documents import FoldedDocuments
from services.queue import Queue
from services.redelivery import kept_up, waited_out
from services.settings import Settings
from services.signing import Signer
from services.slot import Slot, Turn
from services.sourcing import Sourcing
from services.subscription import subscribed
from services.successors import Successors
from services.upkeep import Upkeep
from services.watchdog import Watchdog

GROUP: Final = "generator"
HELD: Final = 4  #: runs at once, those included whose pictures wait for the object store

BEAT_EVERY = timedelta(seconds=5)
DURATIONS_EVERY = timedelta(seconds=0.5)
UPKEEP_EVERY = timedelta(seconds=15)
#: Longer than a consumer takes to break, be closed and made anew: what this ends is a blocked loop.
STUCK_AFTER = timedelta(minutes=5)
STOPPED_WITHIN: Final = 15.0  #: seconds for the batch in hand and for leaving the group


async def serve(claims: Claims, fulfilment: Fulfilment, slot: Slot, poll: float) -> None:
    """The next run is claimed as soon as the engine is free: pictures are stored beside it."""
    held = asyncio.Semaphore(HELD)

    async def fulfil(turn: Turn, generated: asyncio.Event) -> None:
        try:
            await fulfilment.fulfil(turn, generated)
        finally:
            generated.set()
            held.release()

    async with asyncio.TaskGroup() as tasks:
        while True:
            await held.acquire()
            await fulfilment.ready()
            turn = await next_turn(claims, slot, poll)
            generated = asyncio.Event()
            tasks.create_task(fulfil(turn, generated))
            await generated.wait()


async def next_turn(claims: Claims, slot: Slot, poll: float) -> Turn:
    """`poll` seconds apart while there is no work, at once when intake rings or has some."""
    while True:
        slot.listen()
        lease = await waited_out(claims.next, "queue")
        if turn := Turn.claimed(lease) if lease else await slot.turn(poll):
            return turn


@asynccontextmanager
async def parts(settings: Settings) -> AsyncIterator[Intake]:
    """Everything that runs beside intake, for as long as the process lives."""
    catalogue = Catalogue.load(settings.engine.models)
    signer = Signer(settings.master_secret.get_secret_value())
    slot = Slot()
    async with (
        open_mongo(settings.mongo) as mongo,
        Publisher.open(settings.kafka) as publisher,
        S3ObjectStore.open(settings.s3) as store,
        EngineProcess.open(settings.engine) as engine,
        LanguageModel.open(settings.enhance) as language_model,
    ):
        metrics.ENGINE_READY.set_function(lambda: engine.ready)
        queue = Queue(mongo, settings.generator)
        fairness = Fairness(mongo, catalogue)
        upkeep = Upkeep(mongo, settings.generator, fairness, store)
        leases = Leases(queue, settings.generator)
        documents = FoldedDocuments(mongo, hasty=True)
        outcomes = Outcomes(queue, Decisions(mongo), Successors(mongo), publisher, documents)
        worker = f"{socket.gethostname()}:{getpid()}"
        durations = Durations(mongo, worker)
        fulfilment = Fulfilment(
            worker=worker,
            catalogue=catalogue,
            queue=queue,
            leases=leases,
            outcomes=outcomes,
            engine=engine,
            store=store,
            publisher=publisher,
            durations=durations,
            enhancements=Enhancements(mongo, catalogue, language_model),
            sourcing=Sourcing(mongo, store),
        )
        intake = Intake(
            settings=settings,
            reader=CommandReader(signer, Keys(mongo, signer)),
            admission=Admission(mongo, publisher, signer, catalogue),
            fairness=fairness,
            queue=queue,
            cancels=Cancels(mongo),
            outcomes=outcomes,
            publisher=publisher,
            slot=slot,
        )
        async with asyncio.TaskGroup() as tasks:
            poll = settings.generator.poll.total_seconds()
            running = [
                tasks.create_task(serve(Claims(queue, fairness), fulfilment, slot, poll)),
                tasks.create_task(kept_up(leases.renew, "leases", settings.generator.renew)),
                tasks.create_task(kept_up(leases.watch_cancels, "cancels", CANCELS_EVERY)),
                tasks.create_task(kept_up(outcomes.sweep, "sweep", settings.generator.sweep)),
                tasks.create_task(kept_up(durations.beat, "beat", BEAT_EVERY)),
                tasks.create_task(kept_up(durations.write, "durations", DURATIONS_EVERY)),
                tasks.create_task(kept_up(upkeep.age, "ageing", UPKEEP_EVERY)),
                tasks.create_task(kept_up(upkeep.sweep_objects, "objects", UPKEEP_EVERY)),
            ]
            yield intake
            for task in running:
                task.cancel()


@asynccontextmanager
async def taking_in(settings: Settings, intake: Intake) -> AsyncIterator[None]:
    """Commands from Kafka, as long as nobody tells the process to end."""
    watchdog = Watchdog(STUCK_AFTER)
    watchdog.start()
    task = asyncio.create_task(
        subscribed(settings.kafka, GENERATION_COMMANDS, GROUP, intake.take_in, watchdog)
    )
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=STOPPED_WITHIN)


async def main() -> None:
    settings = Settings()
    telemetry.configure(settings, "generator")
    metrics.serve(settings.metrics)
    heap.settle()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with parts(settings) as intake, taking_in(settings, intake):
        await stopped.wait()


if __name__ == "__main__":
    uvloop.run(main())
