"""A lease in -> one outcome: generate, store the pictures, commit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import structlog

from schemas.common import now
from schemas.events import TerminalEvent
from schemas.topics import GENERATION_EVENTS
from services import metrics, run_events
from services.broker import Publisher
from services.engine.catalogue import Catalogue
from services.engine.messages import Generated
from services.engine.process import EngineProcess
from services.enhancement import Enhancements
from services.errors import DarkroomError, EngineDied, PermanentError, Stopped
from services.estimates import Durations
from services.generating import Generating, unless_ended
from services.keeping import Keeping, Kept
from services.leases import Hold, Leases
from services.object_store import S3ObjectStore
from services.outcomes import Outcomes
from services.queue import Lease, Queue
from services.redelivery import waited_out
from services.slot import Accepted, Turn, give_back
from services.sourcing import Prepared, Sourcing

log = structlog.get_logger()

STARTED_WITHIN: Final = 2.0  #: seconds that an outcome waits for it: it says so too
RESTART_PAUSE: Final = 1.0  #: seconds before an engine that can't start is tried again
STARTS: Final = 3  #: of an engine, before its worker ends


class Fulfilment:
    """One run at a time is generated; its pictures are stored while the next one is."""

    def __init__(  # noqa: PLR0913 - the parts it joins
        self,
        *,
        worker: str,
        catalogue: Catalogue,
        queue: Queue,
        leases: Leases,
        outcomes: Outcomes,
        engine: EngineProcess,
        store: S3ObjectStore,
        publisher: Publisher,
        durations: Durations,
        enhancements: Enhancements,
        sourcing: Sourcing,
    ) -> None:
        self._worker = worker
        self._catalogue = catalogue
        self._queue = queue
        self._leases = leases
        self._outcomes = outcomes
        self._engine = engine
        self._publisher = publisher
        self._durations = durations
        self._enhancements = enhancements
        self._sourcing = sourcing
        self._keeping = Keeping(queue, store, sourcing)

    async def ready(self) -> None:
        """Return when the engine can begin: a lease should not wait for a model to load.

        Raise `EngineDied` when it never gets so far: this process ends, and whoever keeps it
        running counts that.
        """
        for last in (False,) * (STARTS - 1) + (True,):
            try:
                return await self._engine.warm()
            except EngineDied:
                metrics.ENGINE_DEATHS.inc()
                log.warning("engine_died", attempt=0)
                if last:
                    raise
            await asyncio.sleep(RESTART_PAUSE)

    async def fulfil(self, turn: Turn, generated: asyncio.Event) -> None:
        """Bring the run to its outcome; `generated` is set once the engine is free again.

        Its engine begins at once, and nothing is kept or told of that before the lease is sure.
        """
        row = turn.lease.row
        trace = {"traceparent": row.traceparent} if row.traceparent else {}
        names = {"job_id": str(row.job), "run_id": str(row.id), **trace}
        with structlog.contextvars.bound_contextvars(**names):
            async with self._generating(turn) as generating:
                try:
                    if (accepted := await turn.confirmed()) is not None:
                        metrics.CLAIMS.inc()
                        with self._leases.holding(turn.lease) as hold:
                            await self._attempt(hold, generated, accepted, generating)
                except asyncio.CancelledError:
                    await give_back(turn, self._queue)
                    raise

    @asynccontextmanager
    async def _generating(self, turn: Turn) -> AsyncIterator[Generating]:
        row, spec = turn.lease.row, turn.lease.row.wanted
        near_end = partial(self._outcomes.foresee, row)
        generating = Generating(self._engine, self._publisher, near_end)
        if not row.cancel and not spec.enhance and not spec.references:
            generating.begin(Prepared(spec, ()))
        try:
            yield generating
        finally:
            await generating.end()

    async def _attempt(
        self,
        hold: Hold,
        generated: asyncio.Event,
        accepted: Accepted,
        generating: Generating,
    ) -> None:
        lease, row = hold.lease, hold.lease.row
        try:
            if row.cancel:
                raise Stopped
            async with self._started(lease, accepted):
                prepared = await self._prepared(hold, generated)
                async with self._keeping.named(lease) as images:
                    generating.begin(prepared)
                    made = await generating.done(hold)
                generated.set()
                if hold.lost:  # the process slept: another worker may be at it
                    raise Stopped
                kept = await self._keeping.keep(lease, images, made)
            await self._succeed(lease, prepared, made, kept)
        except PermanentError as error:
            await self._commit(lease, run_events.failed(row, error.code, error.message))
        except Stopped:
            await self._stopped(hold)
        except EngineDied:
            metrics.ENGINE_DEATHS.inc()
            log.warning("engine_died", attempt=row.attempt)
            await waited_out(lambda: self._queue.abandon(lease), "queue")

    @asynccontextmanager
    async def _started(self, lease: Lease, accepted: Accepted) -> AsyncIterator[None]:
        """`started` goes out beside the work, and before its outcome unless the broker is away."""
        event = run_events.started(lease.row, self._worker)
        publish = partial(
            self._publisher.publish, GENERATION_EVENTS, str(lease.row.job), event.encode()
        )

        async def tell() -> None:
            await asyncio.wait({accepted})  # however it ends: intake sees to that
            await waited_out(publish, "kafka")

        telling = asyncio.create_task(tell())
        try:
            yield
            await asyncio.wait({accepted})
            await asyncio.wait({telling}, timeout=STARTED_WITHIN)
        except DarkroomError:  # an outcome too
            await asyncio.wait({accepted})
            raise
        finally:
            telling.cancel()

    async def _prepared(self, hold: Hold, generated: asyncio.Event) -> Prepared:
        """With the prompt that its model gets; others have the engine while that is written."""
        spec = hold.lease.row.wanted
        if not spec.enhance and not spec.references:
            return Prepared(spec, ())
        if spec.enhance and self._enhancements.slow:
            generated.set()
        return await unless_ended(asyncio.create_task(self._prepare(hold.lease)), hold)

    async def _prepare(self, lease: Lease) -> Prepared:
        spec = lease.row.wanted
        if spec.enhance:
            prompt = await self._enhancements.prompt_of(lease.row)
            spec = spec.model_copy(update={"prompt": prompt})
        return await self._sourcing.prepared(spec)

    async def _succeed(
        self, lease: Lease, prepared: Prepared, generated: Generated, kept: Kept
    ) -> None:
        price = self._catalogue.find(generated.model).price_per_gpu_second
        waited = (now() - lease.row.queued_at).total_seconds() - generated.generation_seconds
        event = run_events.completed(
            lease.row,
            kept.pictures,
            verification=kept.verification,
            references=prepared.spec.references,
            model=generated.model,
            model_sha256=generated.model_sha256,
            queue_seconds=round(max(waited, 0.0), 3),
            generation_seconds=round(generated.generation_seconds, 3),
            gpu_seconds=round(generated.gpu_seconds, 3),
            cost=round(generated.gpu_seconds * price, 6),
            device=generated.device,
        )
        await self._commit(lease, event)
        self._durations.note(lease.row.wanted, generated.generation_seconds)

    async def _commit(self, lease: Lease, event: TerminalEvent) -> None:
        if await waited_out(lambda: self._outcomes.commit(lease, event), "queue"):
            log.info("decided", outcome=event.type.split(".")[-2], attempt=lease.row.attempt)
        elif await waited_out(lambda: self._queue.cancelled([lease]), "queue"):
            await self._stopped_by_cancel(lease)

    async def _stopped(self, hold: Hold) -> None:
        """A cancelled run gets its outcome; a lost one is somebody else's; else it goes back."""
        if hold.lost:
            return
        if hold.cancelled or hold.lease.row.cancel:
            await self._stopped_by_cancel(hold.lease)
        else:
            await waited_out(lambda: self._queue.release(hold.lease), "queue")

    async def _stopped_by_cancel(self, lease: Lease) -> None:
        reasons = await waited_out(lambda: self._queue.cancelled([lease]), "queue")
        event = run_events.cancelled(lease.row, reasons.get(lease.row.id, ""))
        if await waited_out(lambda: self._outcomes.commit(lease, event), "queue"):
            log.info("decided", outcome="cancelled", attempt=lease.row.attempt)
