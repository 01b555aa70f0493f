"""The queue row: one run that waits for a GPU, is leased to a worker, or has an outcome."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from schemas.common import ProjectId, Time, Value, now
from schemas.jobs import GenerationSpec


class RowState(StrEnum):
    OVERTAKEN = "overtaken"  #: a cancel that came before its request
    WAITING = "waiting"  #: for the runs in `after`
    READY = "ready"
    LEASED = "leased"
    DONE = "done"  #: it has an outcome


class Outcome(Value):
    """The one decision about a run: the exact bytes of its terminal event."""

    type: str
    event: bytes
    decided_at: Time = Field(default_factory=now)


class QueueRow(Value):
    """The document in `queue`; only generators write it."""

    id: UUID = Field(alias="_id")  #: the run
    job: UUID
    run_number: int = 1
    project: ProjectId
    flow_id: UUID | None = None
    lane: Annotated[int, Field(ge=0, le=2)] = 0  #: 0 is most urgent
    vft: float = 0.0  #: virtual finish time: the order within a lane
    due: Time = Field(default_factory=now)  #: not claimed before
    after: tuple[UUID, ...] = ()  #: runs still waited for
    state: RowState = RowState.READY
    owner: str | None = None  #: a nonce per claim
    lease_until: Time | None = None
    attempt: int = 0  #: rises at the claim, so that kill -9 counts
    max_attempts: int = 4
    batch_key: str = ""  #: model and size: what may share a launch
    cancel: bool = False
    cancel_reason: str | None = None
    uploads: tuple[str, ...] = ()  #: object keys, noted before their upload
    outcome: Outcome | None = None
    published: bool = False  #: the outcome's event was acknowledged
    queued_at: Time = Field(default_factory=now)
    traceparent: str | None = None
    spec: GenerationSpec | None = None  #: stripped when done

    @property
    def wanted(self) -> GenerationSpec:
        """The spec, of a row that is not decided yet."""
        assert self.spec is not None, "an undecided row has its spec"
        return self.spec
