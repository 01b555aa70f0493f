"""A job that has ended -> its next run: once, however many ask for it at the same time."""

from typing import Final
from uuid import UUID

import uuid_utils.compat

from schemas.common import Prompt, Seed, Text, Value, now
from schemas.jobs import FirstAsked, GenerationSpec, Idempotency, Job, Reference, Status
from schemas.presets import Preset
from services.engine.catalogue import Catalogue
from services.errors import GenerationNotFound, IdempotencyMismatch, StillRunning
from services.inserts import encoded, job_document
from services.library.feed import Feed
from services.library.references import References, named_in
from services.library.totals import disturb
from services.mongo import Document, Mongo, Session
from services.settled import settled

ENDED: Final = tuple(status for status in Status if status.terminal)
CHANGED: Final = (
    "run",
    "run_number",
    "spec",
    "after",
    "published",
    "moved_on",
    "aspect_ratio",
    "first",
    "rerun_at",
    "rerun_keys",
    "estimated_seconds",
    "traceparent",
)


class Changes(Value):
    """What a retry does otherwise; None leaves it as it was, but for the seed: that is drawn."""

    prompt: Prompt | None = None
    seed: Seed | None = None
    width: int | None = None
    height: int | None = None
    aspect_ratio: Text | None = None  #: as asked for, beside the size that it means
    references: tuple[Reference, ...] | None = None  #: instead of asking what names mean today
    preset: Preset | None = None  #: what it says today
    estimated_seconds: float | None = None
    traceparent: str | None = None

    def applied(self, job: Job) -> GenerationSpec:
        """The spec that the next run is asked for; its references are still to be resolved."""
        asked = self.model_dump(include={"prompt", "width", "height"}, exclude_none=True)
        references = job.spec.references if self.references is None else self.references
        if self.prompt is not None:
            before = named_in(job.spec.prompt, job.dialect)
            kept = [each for each in references if each.alias not in before]
            new = [Reference(alias=name) for name in named_in(self.prompt, job.dialect)]
            references = (*kept, *new)
        spec = job.spec if self.preset is None else self.preset.applied(job.spec)
        return spec.model_copy(update={**asked, "seed": self.seed, "references": references})


class Reruns:
    def __init__(self, mongo: Mongo, catalogue: Catalogue, feed: Feed) -> None:
        self._mongo = mongo
        self._jobs = mongo.jobs
        self._catalogue = catalogue
        self._feed = feed
        self._references = References(mongo)

    async def begin(
        self, job: Job, changes: Changes, idempotency: Idempotency | None
    ) -> tuple[Job, bool]:
        """The job with its new run, or as the same key made it before (then True)."""
        if idempotency is not None and _remembers(job, idempotency):
            return job, True
        if not job.status.terminal:
            raise StillRunning
        wanted = self._next(job, changes, idempotency)

        async def work(session: Session) -> Job | None:
            return await self._move_on(session, job, wanted, anew=changes.references is None)

        if (again := await self._feed.transaction(job.project, work)) is not None:
            return again, False
        found = await self._jobs.find_one({"_id": job.id, "deleted_at": None})
        if found is None:
            raise GenerationNotFound
        latest = Job.model_validate(found)
        if idempotency is not None and _remembers(latest, idempotency):
            return latest, True
        raise StillRunning

    def _next(self, job: Job, changes: Changes, idempotency: Idempotency | None) -> Job:
        """As far as nothing has to be looked up for it."""
        run, moment = uuid_utils.compat.uuid7(), now()
        keys = [key for key in job.rerun_keys if key.expires_at > moment]
        facts = {
            "run": run,
            "run_number": job.run_number + 1,
            "spec": settled(changes.applied(job), self._catalogue, run),
            "published": False,
            "moved_on": True,
            "aspect_ratio": changes.aspect_ratio or job.aspect_ratio,
            "first": job.first or (_asked(job) if job.idempotency else None),
            "rerun_at": moment,
            "rerun_keys": (*keys, idempotency) if idempotency else tuple(keys),
            "estimated_seconds": changes.estimated_seconds,
            "traceparent": changes.traceparent,
        }
        return job.model_copy(update=facts)

    async def _move_on(
        self, session: Session, before: Job, wanted: Job, *, anew: bool
    ) -> Job | None:
        """None when another run has begun, or the current one has not ended after all."""
        after = await self._awaited(session, before)
        asked = wanted.model_copy(update={"after": after})
        again = await self._references.resolve(session, asked, anew=anew)
        encoded((again,))
        document = job_document(again)
        written: Document = {"$set": {name: document[name] for name in CHANGED if name in document}}
        if absent := [name for name in CHANGED if name not in document]:
            written["$unset"] = dict.fromkeys(absent, "")
        ended = {"run": before.run, "state.run": before.run, "state.status": {"$in": ENDED}}
        ours = {"_id": before.id, "deleted_at": None, **ended}
        moved = await self._jobs.update_one(ours, written, session=session)
        if moved.modified_count == 0:
            return None
        await disturb(self._mongo, (before.project,), session)  # it is in another state's list now
        return again

    async def _awaited(self, session: Session, job: Job) -> tuple[UUID, ...]:
        """What the job had to wait for, as far as it was told so: today's runs of it."""
        named = {each.run_id for each in job.spec.references}
        told = [run for run in job.after if run not in named]
        moved = self._jobs.find({"_id": {"$in": told}}, {"run": 1}, session=session)
        runs = {found["_id"]: found["run"] for found in await moved.to_list(None)}
        return tuple(runs.get(run, run) for run in told)


def _asked(job: Job) -> FirstAsked:
    return FirstAsked(spec=job.spec, aspect_ratio=job.aspect_ratio)


def _remembers(job: Job, idempotency: Idempotency) -> bool:
    """Raise `IdempotencyMismatch` when the key was used for another retry."""
    for known in job.rerun_keys:
        same = (known.scope, known.key) == (idempotency.scope, idempotency.key)
        if same and known.expires_at > now():
            if known.request_sha256 != idempotency.request_sha256:
                raise IdempotencyMismatch
            return True
    return False
