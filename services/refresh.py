"""What is out of date in a flow -> made again in order, each after what it is made from."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

import structlog

from schemas.common import Value
from schemas.jobs import Job, Reference
from services.admission import Admission
from services.engine.catalogue import Catalogue
from services.errors import GenerationNotFound, ImageNotFound, InvalidRequest, StillRunning
from services.estimates import Estimates
from services.library.leads import first_picture
from services.library.provenance import Provenance, ProvenanceReader
from services.library.staleness import Kind, Stale, stale
from services.mongo import Mongo
from services.reruns import Changes

log = structlog.get_logger()


class Refreshed(Value):
    generations: tuple[UUID, ...]
    estimated_seconds: float
    cost: float  #: in the catalogue's currency


class Plan(NamedTuple):
    found: tuple[Stale, ...]
    provenance: Provenance
    ends: Mapping[UUID, float]  #: generation -> seconds from now to its pictures
    estimated_seconds: float


class Refreshes:
    def __init__(
        self, mongo: Mongo, catalogue: Catalogue, admission: Admission, estimates: Estimates
    ) -> None:
        self._catalogue = catalogue
        self._admission = admission
        self._estimates = estimates
        self._provenance = ProvenanceReader(mongo, catalogue)

    async def stale(self, project: str, flow_id: UUID) -> tuple[Stale, ...]:
        """Each after what it is made from. Raise `FlowNotFound`."""
        provenance = await self._provenance.of_flow(project, flow_id)
        return stale(provenance.built, provenance.today)

    async def refresh(
        self, project: str, flow_id: UUID, *, dry_run: bool, traceparent: str | None = None
    ) -> Refreshed:
        """Begin a run of each with the seed it had; `dry_run` only says which, and the price.

        What somebody else has begun meanwhile, or what can't be made any more, is left out.
        """
        plan = await self._planned(project, flow_id)
        asked = [each.generation for each in plan.found]
        if not dry_run:
            asked = await self._begin(plan, traceparent)
        jobs = [plan.provenance.jobs[name] for name in asked]
        return Refreshed(
            generations=tuple(asked),
            estimated_seconds=round(plan.estimated_seconds, 2) if asked else 0.0,
            cost=round(sum(map(self._cost, jobs)), 6),
        )

    async def _planned(self, project: str, flow_id: UUID) -> Plan:
        provenance = await self._provenance.of_flow(project, flow_id)
        found = stale(provenance.built, provenance.today)
        jobs = [provenance.jobs[each.generation] for each in found]
        lanes = {job.lane for job in jobs}
        ahead = max((self._estimates.ahead_seconds(project, lane) for lane in lanes), default=0.0)
        ends: dict[UUID, float] = {}
        for each, job in zip(found, jobs, strict=True):
            ready = max((ends[name] for name in each.awaited), default=ahead)
            ends[each.generation] = ready + self._own_seconds(job)
        shared = ahead + sum(map(self._own_seconds, jobs)) / self._estimates.workers
        return Plan(found, provenance, ends, max([shared, *ends.values()]))

    async def _begin(self, plan: Plan, traceparent: str | None) -> list[UUID]:
        runs: dict[UUID, UUID] = {}  # of those that others wait for
        begun: list[UUID] = []
        for each in plan.found:
            job = plan.provenance.jobs[each.generation]
            changes = self._changes(plan, each, runs).model_copy(
                update={"traceparent": traceparent}
            )
            try:
                (again,) = (await self._admission.rerun(job, changes)).jobs
            except StillRunning:  # somebody else has begun it: wait for that
                runs |= await self._current(job)
            except (GenerationNotFound, ImageNotFound, InvalidRequest) as error:
                log.warning("not_refreshed", job_id=str(job.id), reason=error.code)
            else:
                self._estimates.admitted((again,))
                runs[job.id] = again.run
                begun.append(job.id)
        return begun

    def _changes(self, plan: Plan, each: Stale, runs: Mapping[UUID, UUID]) -> Changes:
        job = plan.provenance.jobs[each.generation]
        newer = [reason.name for reason in each.because if reason.kind is Kind.PRESET]
        jobs = plan.provenance.jobs
        return Changes(
            seed=job.spec.seed,
            references=tuple(_awaiting(one, jobs, runs) for one in each.references),
            preset=plan.provenance.presets[newer[0]] if newer else None,
            estimated_seconds=round(plan.ends[each.generation], 2),
        )

    async def _current(self, job: Job) -> dict[UUID, UUID]:
        return await self._admission.current_runs(job.project, (job.id,))

    def _own_seconds(self, job: Job) -> float:
        """What such pictures take, else what its last ones took."""
        assert job.output is not None, "only what has an output is out of date"
        return self._estimates.own_seconds(job.spec) or job.output.generation_seconds

    def _cost(self, job: Job) -> float:
        assert job.output is not None
        price = self._catalogue.find(job.spec.model).price_per_gpu_second
        return job.output.gpu_seconds * price


def _awaiting(
    reference: Reference, jobs: Mapping[UUID, Job], runs: Mapping[UUID, UUID]
) -> Reference:
    """A job's coming picture, or the one that it shows when nothing is coming."""
    if reference.job_id is None:
        return reference
    if reference.job_id in runs:
        return reference.model_copy(update={"run_id": runs[reference.job_id]})
    image = first_picture(jobs[reference.job_id])
    return reference.model_copy(update={"job_id": None, "image_id": image})
