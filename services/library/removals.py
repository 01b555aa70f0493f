"""What a deletion or a purge still has to do: rows that its transaction leaves for the sweep."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

import structlog
from pydantic import Field

from schemas.common import ProjectId, Time, Value, now
from schemas.jobs import GenerationSpec, Job, JobState
from services.broker import BROKER_OUTAGES
from services.mongo import Mongo, Session

log = structlog.get_logger()

Cancel = Callable[[Job, str], Awaitable[None]]

ASK_AGAIN: Final = timedelta(seconds=30)  #: a cancel that the broker may not have taken
AT_ONCE: Final = 1000  #: rows a sweep
REASON: Final = "deleted by the caller"


class RemovalKind(StrEnum):
    DELETION = "deletion"  #: hide what the job makes nevertheless
    PURGE = "purge"  #: delete every object that it or its runs have stored


class Removal(Value):
    """The document in `removals`; it goes when there is nothing left to do."""

    id: UUID = Field(alias="_id")  #: a job, or an image alone
    project: ProjectId
    kind: RemovalKind
    job: Job | None = None  #: without its texts, when its run had not ended: what a cancel needs
    runs: tuple[UUID, ...] = ()
    keys: tuple[str, ...] = ()  #: of objects
    removed_at: Time = Field(default_factory=now)
    asked_at: Time = Field(default_factory=now)
    due: Time = Field(default_factory=now)  #: not looked at before


def stripped(job: Job) -> Job:
    """No prompt and no meta outlives a purge."""
    empty = {"spec": GenerationSpec(prompt=""), "meta": {}, "state": JobState()}
    return job.model_copy(update={**empty, "idempotency": None, "first": None, "rerun_keys": ()})


class Removals:
    def __init__(self, mongo: Mongo, cancel: Cancel) -> None:
        self._rows = mongo.removals
        self._cancel = cancel

    async def add(self, session: Session, removal: Removal) -> None:
        """In the caller's transaction; a purge takes the place of a deletion."""
        document = removal.model_dump(by_alias=True)
        await self._rows.replace_one({"_id": removal.id}, document, upsert=True, session=session)

    async def due(self, kind: RemovalKind) -> list[Removal]:
        wanted = {"kind": kind, "due": {"$lte": now()}}
        found = self._rows.find(wanted).sort("due", 1).limit(AT_ONCE)
        return [Removal.model_validate(row) async for row in found]

    async def done(self, removal: Removal, session: Session | None = None) -> None:
        await self._rows.delete_one({"_id": removal.id, "kind": removal.kind}, session=session)

    async def stop(self, job: Job) -> None:
        """Ask for the end of a run that goes on for nobody; the sweep asks again."""
        try:
            await self._cancel(job, REASON)
        except BROKER_OUTAGES as error:
            log.warning("cancel_delayed", job_id=str(job.id), error=type(error).__name__)

    async def later(self, removal: Removal, pause: timedelta, *, going_on: bool) -> None:
        """Look at it again after `pause`; a run that is `going_on` is asked to end once more."""
        changes = {"due": now() + pause}
        if going_on and removal.job is not None and now() - removal.asked_at > ASK_AGAIN:
            await self.stop(removal.job)
            changes["asked_at"] = now()
        await self._rows.update_one({"_id": removal.id, "kind": removal.kind}, {"$set": changes})
