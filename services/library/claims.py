"""What a job claims of its project's library: its flow, and the names of its output."""

from collections.abc import Collection
from uuid import UUID

from schemas.common import now
from schemas.flows import Flow
from schemas.jobs import Job
from schemas.library_events import FlowCreated
from services.errors import FlowNotFound
from services.library.aliases import Aliases
from services.library.feed import Change, change
from services.mongo import Mongo, Session


def claims(job: Job) -> bool:
    """Whether there is anything of the library in the job, which the insert must agree with."""
    return bool(job.flow_id or job.alias or job.flow_alias or job.spec.references)


class Claims:
    """Works in the transaction that inserts the job; returns what is to be recorded there."""

    def __init__(self, mongo: Mongo) -> None:
        self._flows = mongo.flows
        self._aliases = Aliases(mongo)

    async def take(self, session: Session, job: Job, begun: Collection[UUID]) -> tuple[Change, ...]:
        """Raise `FlowNotFound` or `AliasTaken`; `begun` are the flows that begin with their job."""
        changes: tuple[Change, ...] = ()
        if job.flow_id is not None:
            changes += await self._join(session, job.project, job.flow_id, job.flow_id in begun)
        if job.alias is not None:
            changes += (await self._aliases.claim(session, job, job.alias),)
        if job.flow_alias is not None:
            changes += (await self._aliases.claim(session, job, job.flow_alias, job.flow_id),)
        return changes

    async def _join(
        self, session: Session, project: str, flow_id: UUID, begins: bool
    ) -> tuple[Change, ...]:
        if begins:
            flow = Flow(id=flow_id, project=project)
            await self._flows.insert_one(flow.model_dump(by_alias=True), session=session)
            return (change(FlowCreated, flow_id, flow_id=flow_id),)
        touched = await self._flows.update_one(  # a write, so that a deletion collides with it
            {"_id": flow_id, "project": project}, {"$set": {"updated_at": now()}}, session=session
        )
        if touched.matched_count == 0:
            raise FlowNotFound(pointer="/flow_id")
        return ()
