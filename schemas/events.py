"""Every command and event: what someone wants, and what has happened."""

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import Base64Bytes, Field, TypeAdapter

from schemas.cloudevents import CloudEvent
from schemas.common import Sha256, Text, Value
from schemas.images import Picture
from schemas.jobs import Failure, PresetVersion, Reference, RequestedJob, Stage, Tier
from schemas.recipes import Recipe
from schemas.verification import Verification

MOST_JOBS: Final = 200  #: of a command: 100 images, each of them a draft and its final


class RequestedData(Value):
    jobs: Annotated[tuple[RequestedJob, ...], Field(min_length=1, max_length=MOST_JOBS)]


class CancelRequestedData(Value):
    job_id: UUID
    run_id: UUID | None = None  #: default: whichever run is current
    reason: Text = "cancelled by the caller"


class RunData(Value):
    """What every event of a run carries."""

    run_id: UUID
    run_number: int = 1
    flow_id: UUID | None = None


class AcceptedData(RunData):
    model: str
    tier: Tier
    lane: str
    clientref: str | None = None  #: a producer's own `subject`
    prompt_sha256: Sha256


class AdmissionError(Value):
    """One reason why a command was refused; `pointer` is a JSON Pointer (RFC 6901)."""

    pointer: str
    code: str
    detail: str


class RejectedData(Value):
    clientref: str | None = None
    errors: tuple[AdmissionError, ...]


class StartedData(RunData):
    attempt: int
    worker: str


class CompletedData(RunData):
    attempt: int
    tier: Tier
    model: str
    model_sha256: Sha256
    images: tuple[Picture, ...]
    queue_seconds: float
    generation_seconds: float
    gpu_seconds: float
    cost: float
    device: str
    prompt_sha256: Sha256
    references: tuple[Reference, ...] = ()  #: what it was made from, as it was resolved
    preset: PresetVersion | None = None
    verification: Verification | None = None  #: of a run that made a picture again, to compare it


class FailedData(RunData):
    attempt: int
    reason: str  #: a stable code: poison, out_of_memory, model_not_found …
    message: str


class CancelledData(RunData):
    attempt: int = 0
    reason: str = "cancelled by the caller"

    @property
    def failure(self) -> Failure:
        return Failure(code="cancelled", message=f"The job was cancelled: {self.reason}")


class ProgressData(RunData):
    attempt: int
    stage: Stage
    step: int = 0
    steps: int = 0
    percent: int = 0
    preview: str | None = None


class GenerationRequested(CloudEvent):
    type: Literal["dev.darkroom.generation.requested.v1"] = "dev.darkroom.generation.requested.v1"
    data: RequestedData


class GenerationCancelRequested(CloudEvent):
    type: Literal["dev.darkroom.generation.cancel-requested.v1"] = (
        "dev.darkroom.generation.cancel-requested.v1"
    )
    data: CancelRequestedData


class GenerationAccepted(CloudEvent):
    type: Literal["dev.darkroom.generation.accepted.v1"] = "dev.darkroom.generation.accepted.v1"
    data: AcceptedData


class GenerationRejected(CloudEvent):
    type: Literal["dev.darkroom.generation.rejected.v1"] = "dev.darkroom.generation.rejected.v1"
    data: RejectedData


class GenerationStarted(CloudEvent):
    type: Literal["dev.darkroom.generation.started.v1"] = "dev.darkroom.generation.started.v1"
    data: StartedData


class GenerationCompleted(CloudEvent):
    type: Literal["dev.darkroom.generation.completed.v1"] = "dev.darkroom.generation.completed.v1"
    data: CompletedData


class GenerationFailed(CloudEvent):
    type: Literal["dev.darkroom.generation.failed.v1"] = "dev.darkroom.generation.failed.v1"
    data: FailedData


class GenerationCancelled(CloudEvent):
    type: Literal["dev.darkroom.generation.cancelled.v1"] = "dev.darkroom.generation.cancelled.v1"
    data: CancelledData


class GenerationProgress(CloudEvent):
    type: Literal["dev.darkroom.generation.progress.v1"] = "dev.darkroom.generation.progress.v1"
    data: ProgressData


class RecipePublished(CloudEvent):
    type: Literal["dev.darkroom.recipe.published.v1"] = "dev.darkroom.recipe.published.v1"
    data: Recipe


class DeadLetterData(Value):
    """A message that could not be read, byte for byte, and where it came from."""

    topic: str
    partition: int
    offset: int
    key: Base64Bytes | None = None
    value: Base64Bytes
    headers: tuple[tuple[str, Base64Bytes], ...] = ()
    error: str  #: its class: unreadable, not_a_cloudevent, unsigned, wrong_signature …
    reason: str  #: for people; holds none of the message's text


class DeadLetter(CloudEvent):
    type: Literal["dev.darkroom.dead-letter.v1"] = "dev.darkroom.dead-letter.v1"
    data: DeadLetterData


GenerationCommand = Annotated[
    GenerationRequested | GenerationCancelRequested, Field(discriminator="type")
]
TerminalEvent = GenerationCompleted | GenerationFailed | GenerationCancelled
GenerationEvent = Annotated[
    GenerationAccepted
    | GenerationRejected
    | GenerationStarted
    | GenerationCompleted
    | GenerationFailed
    | GenerationCancelled
    | GenerationProgress,
    Field(discriminator="type"),
]

COMMANDS: TypeAdapter[GenerationRequested | GenerationCancelRequested] = TypeAdapter(
    GenerationCommand
)
EVENTS: TypeAdapter[
    GenerationAccepted
    | GenerationRejected
    | GenerationStarted
    | GenerationCompleted
    | GenerationFailed
    | GenerationCancelled
    | GenerationProgress
] = TypeAdapter(GenerationEvent)
