"""A wish becomes jobs: validated, inserted before anything is published, then handed to Kafka."""

import asyncio
from collections.abc import Collection, Sequence
from uuid import UUID

import uuid_utils.compat
from pydantic import Field

from schemas.common import Meta, Text, Value
from schemas.jobs import Dialect, GenerationSpec, Idempotency, Job, Lane, Reference
from services import metrics
from services.broker import Publisher
from services.dispatch import Dispatch
from services.engine.catalogue import Catalogue
from services.errors import InvalidRequest
from services.idempotency import Replays
from services.inserts import Inserts
from services.library.aliases import check_name
from services.library.claims import claims
from services.library.feed import Feed
from services.library.references import named_in, said
from services.mongo import Mongo
from services.reruns import Changes, Reruns
from services.settled import settled
from services.signing import Signer


class Wish(Value):
    """One job as a dialect asks for it."""

    spec: GenerationSpec
    job_id: UUID | None = None  #: where something else has to name it; new, and its run's too
    dialect: Dialect
    lane: Lane = Lane.INTERACTIVE
    owner: str | None = None
    flow_id: UUID | None = None
    new_flow: bool = False  #: begin one, where `flow_id` names none
    alias: Text | None = None  #: project alias that the output claims
    flow_alias: Text | None = None
    references: tuple[Text, ...] = ()  #: as the caller says them: images' ids and aliases
    aspect_ratio: Text | None = None
    batch_id: UUID | None = None
    blog_id: str | None = None
    blog_job_id: str | None = None
    provider: str | None = None
    is_draft: bool = False
    final_job_id: UUID | None = None
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
        self,
        mongo: Mongo,
        publisher: Publisher,
        signer: Signer,
        catalogue: Catalogue,
        feed: Feed | None = None,
    ) -> None:
        """`feed` is the one of its process: who shares it waits instead of colliding."""
        feed = feed or Feed(mongo)
        self._mongo = mongo
        self._catalogue = catalogue
        self.dispatch = Dispatch(mongo, publisher, signer)
        self._inserts = Inserts(mongo, feed)
        self._replays = Replays(mongo, self.dispatch)
        self._reruns = Reruns(mongo, catalogue, feed)

    async def submit(
        self, project: str, wishes: Sequence[Wish], *, idempotency: Idempotency | None = None
    ) -> Admitted:
        """Insert the jobs of `wishes` with all that they claim, or none; publish one command.

        A broker that is away delays the command, never the answer. Raises `InvalidRequest`,
        `AliasTaken`, `FlowNotFound`, `ImageNotFound`, `BodyTooLarge`, `IdempotencyMismatch`, or
        one of `services.mongo.OUTAGES`: then nothing is promised.
        """
        new = uuid_utils.compat.uuid7
        jobs = [self.admit(project, wish, wish.job_id or new()) for wish in wishes]
        if len(jobs) > 1 and jobs[0].batch_id is None:  # what finds them together again
            jobs = [job.model_copy(update={"batch_id": jobs[0].id}) for job in jobs]
        if idempotency is not None:
            jobs[0] = jobs[0].model_copy(update={"idempotency": idempotency})
            if any(map(claims, jobs)) and (admitted := await self.replay(idempotency)):
                return admitted  # the names that it claimed are its own
        begun = [
            job.flow_id
            for job, wish in zip(jobs, wishes, strict=True)
            if job.flow_id and job.flow_id != wish.flow_id
        ]
        while (inserted := await self._inserts.insert(jobs, begun)) is None:
            assert idempotency is not None, "nothing else of a new job can be taken"
            if admitted := await self.replay(idempotency):
                return admitted
            await asyncio.sleep(0.01)  # it has just gone, or a majority does not have it yet
        metrics.accepted(inserted.jobs)
        await self.dispatch.publish_encoded(inserted.jobs, inserted.command)
        return Admitted(jobs=tuple(inserted.jobs))

    def admit(self, project: str, wish: Wish, job: UUID) -> Job:
        """The job that `wish` becomes, or `InvalidRequest`; the same for the same job id.

        Its references and its claims are those of the caller until it is inserted.
        """
        spec, flow_id = wish.spec, wish.flow_id
        if asked := _references(wish):
            spec = spec.model_copy(update={"references": asked})
        if wish.new_flow and flow_id is None:
            flow_id = uuid_utils.compat.uuid7()
        if wish.alias is not None:
            check_name(wish.alias, "/alias")
        if wish.flow_alias is not None:
            check_name(wish.flow_alias, "/flow_alias")
            if flow_id is None:
                raise InvalidRequest("A flow's alias needs a flow", "/flow_alias")
        facts = wish.model_dump(
            exclude={"spec", "job_id", "references", "new_flow", "flow_id"}, exclude_unset=True
        )
        spec = settled(spec, self._catalogue, job)
        return Job(id=job, run=job, project=project, spec=spec, flow_id=flow_id, **facts)

    async def rerun(
        self, job: Job, changes: Changes, *, idempotency: Idempotency | None = None
    ) -> Admitted:
        """Begin a new run of a job that has ended, with the same id, and publish its command.

        Raises `StillRunning` while it has not, `InvalidRequest`, `ImageNotFound`,
        `IdempotencyMismatch`, `GenerationNotFound` when it has gone meanwhile.
        """
        again, replayed = await self._reruns.begin(job, changes, idempotency)
        if not again.published:
            await self.dispatch.publish((again,))
        return Admitted(jobs=(again,), replayed=replayed)

    async def replay(self, idempotency: Idempotency) -> Admitted | None:
        """Answer as the first time; None when the key is free: unused, or its day is over."""
        jobs = await self._replays.of(idempotency)
        return None if jobs is None else Admitted(jobs=jobs, replayed=True)

    async def insert_missing(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Insert jobs whose command is in Kafka already; those that exist stay as they are.

        Returns them as they are stored. Raises as `submit` does, with the place in the command.
        """
        published = [job.model_copy(update={"published": True}) for job in jobs]
        stored, new = await self._inserts.insert_missing(published)
        metrics.accepted(new)
        return stored

    async def current_runs(self, project: str, jobs: Collection[UUID]) -> dict[UUID, UUID]:
        """Job -> current run, for those of `jobs` that the project has."""
        wanted = {"_id": {"$in": list(jobs)}, "project": project}
        return {job["_id"]: job["run"] async for job in self._mongo.jobs.find(wanted, {"run": 1})}

    async def publish(self, jobs: Sequence[Job]) -> None:
        """Publish the jobs' command; what the broker does not take now, the outbox sends."""
        await self.dispatch.publish(jobs)

    async def cancel(self, job: Job, reason: str) -> None:
        """Ask for the current run's end; the worker that holds it decides."""
        await self.dispatch.cancel(job, reason)


def _references(wish: Wish) -> tuple[Reference, ...]:
    prompt = named_in(wish.spec.prompt, wish.dialect)
    return (*wish.spec.references, *(said(name) for name in (*wish.references, *prompt)))
