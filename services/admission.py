"""A wish becomes jobs: validated, inserted before anything is published, then handed to Kafka."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

import structlog
import uuid_utils.compat
from pydantic import Field
from pymongo.errors import BulkWriteError, WriteError, WTimeoutError

from schemas.cloudevents import event_id, schema_path
from schemas.common import SEED_LIMIT, Meta, Value, now
from schemas.events import (
    CancelRequestedData,
    GenerationCancelRequested,
    GenerationRequested,
    RequestedData,
)
from schemas.jobs import Dialect, GenerationSpec, Idempotency, Job, Lane, RequestedJob
from schemas.topics import GENERATION_COMMANDS
from services import metrics
from services.batching import Batched
from services.broker import BROKER_OUTAGES, Publisher
from services.engine.catalogue import Catalogue, Model, Size
from services.errors import (
    BodyTooLarge,
    IdempotencyMismatch,
    InvalidRequest,
    InvalidSize,
    UnknownModel,
)
from services.mongo import OUTAGES, Document, Mongo, Session
from services.signing import HEADER, Signer

log = structlog.get_logger()

PUBLISH_WITHIN: Final = timedelta(seconds=2)  #: then the outbox does it
COMMAND_LIMIT: Final = GENERATION_COMMANDS.max_message_bytes - 4096  #: its headers are smaller


class Wish(Value):
    """One job as a dialect asks for it."""

    spec: GenerationSpec
    dialect: Dialect
    lane: Lane = Lane.INTERACTIVE
    owner: str | None = None
    flow_id: UUID | None = None
    batch_id: UUID | None = None
    blog_id: str | None = None
    blog_job_id: str | None = None
    provider: str | None = None
    is_draft: bool = False
    after: tuple[UUID, ...] = ()
    clientref: str | None = None
    traceparent: str | None = None
    estimated_seconds: float | None = None
    meta: Meta = Field(default_factory=dict)


class Admitted(Value):
    """The jobs of a submit; `replayed` when its Idempotency-Key had been used before."""

    jobs: tuple[Job, ...]
    replayed: bool = False


class Admission:
    """HTTP's way in; the second door shares `admit` and `insert_missing`."""

    def __init__(
        self, mongo: Mongo, publisher: Publisher, signer: Signer, catalogue: Catalogue
    ) -> None:
        self._mongo = mongo
        self._publisher = publisher
        self._signer = signer
        self._catalogue = catalogue
        self._insert_alone = Batched(self._insert_together, at_once=2)
        self._acknowledged: set[UUID] = set()
        self._marking: asyncio.Task[None] | None = None

    async def submit(
        self, project: str, wishes: Sequence[Wish], *, idempotency: Idempotency | None = None
    ) -> Admitted:
        """Insert the jobs of `wishes`, all or none, publish one command, and return them.

        A broker that is away delays the command, never the answer. Raises `InvalidRequest`,
        `BodyTooLarge`, `IdempotencyMismatch`, or one of `services.mongo.OUTAGES`: then nothing
        is promised.
        """
        jobs = [self.admit(project, wish, uuid_utils.compat.uuid7()) for wish in wishes]
        if len(jobs) > 1 and jobs[0].batch_id is None:  # what finds them together again
            jobs = [job.model_copy(update={"batch_id": jobs[0].id}) for job in jobs]
        if idempotency is not None:
            jobs[0] = jobs[0].model_copy(update={"idempotency": idempotency})
        command = command_of(jobs).encode()
        if len(command) > COMMAND_LIMIT:
            raise BodyTooLarge(f"A request may take {COMMAND_LIMIT:,} bytes as a command")
        while not await self._insert(jobs):
            assert idempotency is not None, "nothing else of a new job can be taken"
            if admitted := await self.replay(idempotency):
                return admitted
            await asyncio.sleep(0.01)  # it has just gone, or a majority does not have it yet
        metrics.accepted(jobs)
        await self._send(jobs, command)
        return Admitted(jobs=tuple(jobs))

    def admit(self, project: str, wish: Wish, job: UUID) -> Job:
        """The job that `wish` becomes, or `InvalidRequest`; the same for the same job id."""
        spec = settled(wish.spec, self._catalogue, job)
        facts = wish.model_dump(exclude={"spec"}, exclude_unset=True)
        return Job(id=job, run=job, project=project, spec=spec, **facts)

    async def insert_missing(self, jobs: Sequence[Job]) -> None:
        """Insert jobs whose command is in Kafka already; those that exist stay as they are."""
        for job in jobs:
            document = job_document(job.model_copy(update={"published": True}))
            inserted = await self._mongo.jobs.update_one(
                {"_id": document.pop("_id")}, {"$setOnInsert": document}, upsert=True
            )
            if inserted.upserted_id is not None:
                metrics.accepted([job])

    async def unknown(self, project: str, jobs: Collection[UUID]) -> set[UUID]:
        """Which of `jobs` the project does not have."""
        wanted = {"_id": {"$in": list(jobs)}, "project": project}
        return set(jobs) - {job["_id"] async for job in self._mongo.jobs.find(wanted, {"_id": 1})}

    async def publish(self, jobs: Sequence[Job]) -> None:
        """Publish the jobs' command; what the broker does not take now, the outbox sends."""
        await self._send(jobs, command_of(jobs).encode())

    async def _send(self, jobs: Sequence[Job], command: bytes) -> None:
        key, headers = str(jobs[0].id), ((HEADER, self._signer.sign(command).encode()),)
        try:
            async with asyncio.timeout(PUBLISH_WITHIN.total_seconds()):
                await self._publisher.publish(GENERATION_COMMANDS, key, command, headers)
        except BROKER_OUTAGES as error:
            log.warning("publish_delayed", job_id=str(jobs[0].id), error=type(error).__name__)
            return
        self._acknowledged.update(job.id for job in jobs)
        if self._marking is None or self._marking.done():
            self._marking = asyncio.create_task(self._mark_published())

    async def cancel(self, job: Job, reason: str) -> None:
        """Ask for the current run's end; the worker that holds it decides."""
        command = GenerationCancelRequested(
            id=event_id(job.run, "dev.darkroom.generation.cancel-requested.v1"),
            source="/api",
            subject=str(job.id),
            dataschema=schema_path("dev.darkroom.generation.cancel-requested.v1"),
            projectid=job.project,
            traceparent=job.traceparent,
            data=CancelRequestedData(job_id=job.id, run_id=job.run, reason=reason),
        )
        value = command.encode()
        headers = ((HEADER, self._signer.sign(value).encode()),)
        await self._publisher.publish(GENERATION_COMMANDS, str(job.id), value, headers)

    async def _insert(self, jobs: list[Job]) -> bool:
        """All or none; False when their Idempotency-Key is taken."""
        documents = [job_document(job) for job in jobs]

        async def insert_all(session: Session) -> None:
            await self._mongo.jobs.insert_many(documents, session=session)

        try:
            if len(documents) == 1:
                await self._insert_alone(documents[0])
            else:
                await self._mongo.transaction(insert_all)
        except (WriteError, BulkWriteError) as error:
            if not _takes_a_key(error):
                raise
            return False
        return True

    async def _insert_together(
        self, documents: Sequence[Document]
    ) -> Sequence[Document | Exception]:
        """Of many submits, each for itself: a journaled write costs the same for one and for 30."""
        try:
            await self._mongo.jobs.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if error.details["writeConcernErrors"]:
                raise WTimeoutError("no majority has acknowledged the write") from error
            refused = {failure["index"]: failure for failure in error.details["writeErrors"]}
            return [
                WriteError(refused[n]["errmsg"], refused[n]["code"], refused[n])
                if n in refused
                else document
                for n, document in enumerate(documents)
            ]
        return documents

    async def replay(self, idempotency: Idempotency) -> Admitted | None:
        """Answer as the first time; None when the key is free: unused, or its day is over."""
        used = {"idempotency.scope": idempotency.scope, "idempotency.key": idempotency.key}
        document = await self._mongo.jobs.find_one(used)
        if document is None:
            return None
        first = Job.model_validate(document)
        assert first.idempotency is not None
        if first.idempotency.expires_at <= now():
            expired = {"_id": first.id, **used}
            await self._mongo.jobs.update_one(expired, {"$unset": {"idempotency": ""}})
            return None
        if first.idempotency.request_sha256 != idempotency.request_sha256:
            raise IdempotencyMismatch
        jobs = [first]
        if first.batch_id is not None:
            cursor = self._mongo.jobs.find({"batch_id": first.batch_id}).sort("_id", 1)
            jobs = [Job.model_validate(found) async for found in cursor]
        if not all(job.published for job in jobs):
            await self.publish(jobs)
        return Admitted(jobs=tuple(jobs), replayed=True)

    async def _mark_published(self) -> None:
        """Many at a time and after the reply: a crash before it only sends a command twice."""
        while self._acknowledged:
            await asyncio.sleep(0.1)
            batch, self._acknowledged = list(self._acknowledged), set()
            try:
                await self._mongo.jobs.update_many(
                    {"_id": {"$in": batch}}, {"$set": {"published": True}}
                )
            except OUTAGES as error:  # the outbox sends them again
                log.warning("marking_failed", jobs=len(batch), error=type(error).__name__)


def command_of(jobs: Sequence[Job]) -> GenerationRequested:
    """The command of `jobs`; made again from the same documents it is the same command."""
    kind = "dev.darkroom.generation.requested.v1"
    return GenerationRequested(
        id=event_id(jobs[0].run, kind),
        source="/api",
        subject=str(jobs[0].id),
        time=jobs[0].created_at,
        dataschema=schema_path(kind),
        projectid=jobs[0].project,
        traceparent=jobs[0].traceparent,
        data=RequestedData(jobs=tuple(_requested(job) for job in jobs)),
    )


def _takes_a_key(error: WriteError | BulkWriteError) -> bool:
    details = error.details or {}
    failures = details.get("writeErrors") or [details]
    return any("idempotency.key" in failure.get("keyPattern", {}) for failure in failures)


def job_document(job: Job) -> Document:
    """What is inserted in `jobs`: nothing that is absent takes a field."""
    return job.model_dump(by_alias=True, exclude_none=True)


def settled(spec: GenerationSpec, catalogue: Catalogue, job: UUID) -> GenerationSpec:
    """`spec` with model, size and seed fixed, or `InvalidRequest`; later changes don't reach it."""
    try:
        model = catalogue.find(spec.model)
        size = catalogue_size(spec, model)
        model.check_size(size.width, size.height)
    except UnknownModel as error:
        raise InvalidRequest(error.message, "/model") from error
    except InvalidSize as error:
        side = "height" if error.message.startswith("height") else "width"
        raise InvalidRequest(error.message, f"/{side}") from error
    if not spec.prompt.strip():
        raise InvalidRequest("Prompt is required", "/prompt")
    seed = drawn_seed(job) if spec.seed is None else spec.seed
    fixed = {"model": model.id, "seed": seed, "width": size.width, "height": size.height}
    return spec.model_copy(update=fixed)


def catalogue_size(spec: GenerationSpec, model: Model) -> Size:
    """What was asked for, or the model's own size when neither side was."""
    if {"width", "height"}.isdisjoint(spec.model_fields_set):
        return model.default_size
    return Size(width=spec.width, height=spec.height)


def drawn_seed(job: UUID) -> int:
    """Below 2^53 and the same for the same job, however often its command is read."""
    return int.from_bytes(sha256(job.bytes).digest()[:8]) % SEED_LIMIT


def _requested(job: Job) -> RequestedJob:
    return RequestedJob(
        **dict(job.spec),
        job_id=job.id,
        run_id=job.run,
        run_number=job.run_number,
        flow_id=job.flow_id,
        after=job.after,
        lane=job.lane,
        dialect=job.dialect,
        meta=job.meta,
    )
