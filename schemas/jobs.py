"""Jobs, runs and their states: what a caller asks for and polls."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from schemas.common import Meta, ProjectId, Prompt, Seed, Sha256, Text, Time, Value, now
from schemas.images import Picture


class Status(StrEnum):
    """States only move to a higher rank; the three last are equals and final."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def rank(self) -> int:
        return {"pending": 0, "running": 1}.get(self.value, 2)

    @property
    def terminal(self) -> bool:
        return self.rank == 2


class Tier(StrEnum):
    """A model's named settings, cheapest first."""

    DRAFT = "draft"
    STANDARD = "standard"
    HIGH = "high"
    ULTRA = "ultra"


class Lane(StrEnum):
    """The priority class in which a run waits for a GPU, most urgent first."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BATCH = "batch"


class Dialect(StrEnum):
    RECIPES = "recipes"
    STUDIO = "studio"
    BLOG = "blog"
    PRESETS = "presets"
    OPENAI = "openai"
    KAFKA = "kafka"  #: the second door


class Stage(StrEnum):
    """Where a run is; the words are the blog dialect's `current_stage`."""

    QUEUED = "queued"
    LOADING_MODEL = "loading_model"
    ENCODING_PROMPT = "encoding_prompt"
    DENOISING = "denoising"
    DECODING = "decoding"
    UPLOADING = "uploading"
    COMPLETED = "completed"
    ERROR = "error"


class ReferenceRole(StrEnum):
    IMAGE = "image"  #: steers the picture (image-to-image)
    MASK = "mask"  #: white is painted anew


class Reference(Value):
    """A picture that another picture is made from, resolved at admission.

    Before that it is what the caller said: an image, a job, or an alias alone.
    """

    image_id: UUID | None = None
    job_id: UUID | None = None  #: still pending then
    run_id: UUID | None = None  #: that run of it, which is also in `after`
    alias: Text | None = None  #: the name it was called by
    role: ReferenceRole = ReferenceRole.IMAGE


class LoraWeight(Value):
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    weight: Annotated[float, Field(ge=-4, le=4, allow_inf_nan=False)] = 1.0


class PresetVersion(Value):
    slug: str
    version: int


class GenerationSpec(Value):
    """What determines the pixels, in diffusers' words; sizes in pixels."""

    prompt: Prompt
    negative_prompt: Prompt = ""
    model: Annotated[Text, Field(min_length=1, max_length=200)] = "default"
    tier: Tier = Tier.STANDARD
    width: Annotated[int, Field(ge=8, le=8192, strict=True)] = 512
    height: Annotated[int, Field(ge=8, le=8192, strict=True)] = 512
    seed: Seed | None = None  #: drawn at admission when missing; picture n has seed + n
    num_images: Annotated[int, Field(ge=1, le=20, strict=True)] = 1
    num_inference_steps: Annotated[int, Field(ge=1, le=500)] | None = None  #: else the tier's
    guidance_scale: Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)] | None = None
    strength: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    loras: tuple[LoraWeight, ...] = ()
    references: Annotated[tuple[Reference, ...], Field(max_length=8)] = ()
    enhance: bool = False  #: expand the prompt at the first attempt
    embed_parameters: bool = True  #: in the file, as the text that other tools read
    preset: PresetVersion | None = None
    draft_job_id: UUID | None = None  #: start from this draft's noise
    verifies: UUID | None = None  #: an image to compare with; nothing of this run is kept


class RequestedJob(GenerationSpec):
    """One job in a `generation.requested` command; ids are assigned when missing."""

    job_id: UUID | None = None
    run_id: UUID | None = None
    run_number: Annotated[int, Field(ge=1)] = 1  #: 1 the first run, 2 the first retry
    flow_id: UUID | None = None
    alias: Text | None = None  #: project alias that the output claims
    flow_alias: Text | None = None
    after: Annotated[tuple[UUID, ...], Field(max_length=100)] = ()  #: jobs that must succeed first
    lane: Lane = Lane.INTERACTIVE
    dialect: Dialect = Dialect.KAFKA
    meta: Meta = Field(default_factory=dict)

    @property
    def spec(self) -> GenerationSpec:
        chosen = self.model_dump(include=set(_SPEC_FIELDS), exclude_unset=True)
        return GenerationSpec.model_validate(chosen)


_SPEC_FIELDS = tuple(GenerationSpec.model_fields)


class Idempotency(Value):
    """What an `Idempotency-Key` was first used for."""

    scope: str  #: project, owner and route
    key: str
    request_sha256: Sha256
    expires_at: Time


class Failure(Value):
    """Why a run ended without pictures; `code` is stable, `message` is for people."""

    code: str
    message: str


class Progress(Value):
    stage: Stage = Stage.QUEUED
    step: int = 0
    steps: int = 0
    percent: int = 0
    preview: str | None = None  #: relative path


class Output(Value):
    """The pictures of a run, what they were made from and what they cost."""

    pictures: tuple[Picture, ...]
    model: str
    model_sha256: Sha256 | None = None
    references: tuple[Reference, ...] = ()
    preset: PresetVersion | None = None
    tier: Tier
    generation_seconds: float
    queue_seconds: float
    gpu_seconds: float
    cost: float
    device: str


class Run(Value):
    """One try to fulfil a job: the fold's entry for it."""

    number: int
    status: Status = Status.PENDING
    attempt: int = 0
    accepted_at: Time | None = None
    started_at: Time | None = None
    ended_at: Time | None = None
    progress: Progress = Progress()
    output: Output | None = None
    failure: Failure | None = None


class JobState(Value):
    """A fold of the job's events; nothing else writes it.

    `run`, `status` and `ended_at` are those of the highest-numbered run seen, kept beside
    `runs` so that lists can be filtered by an index.
    """

    run: UUID | None = None
    status: Status = Status.PENDING
    ended_at: Time | None = None
    runs: dict[UUID, Run] = Field(default_factory=dict)


class FirstAsked(Value):
    """What a retry may change, as it was at the submit: whoever asks that again has its answer."""

    spec: GenerationSpec
    aspect_ratio: Text | None = None


class Job(Value):
    """The document in `jobs`: the request part is the API's, `state` the fold's."""

    id: UUID = Field(alias="_id")
    project: ProjectId
    owner: str | None = None  #: a JWT's `sub`
    dialect: Dialect
    spec: GenerationSpec
    run: UUID  #: the current run; only an explicit retry moves it on
    run_number: int = 1
    after: tuple[UUID, ...] = ()  #: runs that must succeed first; a first run has its job's id
    lane: Lane = Lane.INTERACTIVE
    flow_id: UUID | None = None
    alias: Text | None = None  #: project alias that the output has claimed
    flow_alias: Text | None = None
    aspect_ratio: Text | None = None  #: as asked for; the size in `spec` is the model's
    batch_id: UUID | None = None
    blog_id: str | None = None
    blog_job_id: str | None = None
    provider: str | None = None
    is_draft: bool = False
    final_job_id: UUID | None = None
    clientref: str | None = None  #: a producer's own `subject`
    traceparent: str | None = None
    meta: Meta = Field(default_factory=dict)
    idempotency: Idempotency | None = None
    published: bool = False  #: the broker has acknowledged the current run's command
    estimated_seconds: float | None = None  #: from `requested_at` to the pictures, as promised then
    created_at: Time = Field(default_factory=now)
    rerun_at: Time | None = None  #: when the current run was asked for, unless it is the first
    first: FirstAsked | None = None  #: of a job with an `idempotency`, once there was a retry
    rerun_keys: tuple[Idempotency, ...] = ()  #: of the retries that a day still remembers
    moved_on: bool | None = None  #: a retry gave it another run; absent again once that is seen
    enhanced: dict[UUID, Prompt] | None = None  #: by run; the generator's field
    deleted_at: Time | None = None  #: softly: hidden, its pictures with it
    state: JobState = Field(default_factory=JobState)

    @property
    def requested_at(self) -> datetime:
        """When the current run was asked for."""
        return self.rerun_at or self.created_at

    @property
    def current(self) -> Run:
        """The run that a poll tells of; pending until its first event is folded."""
        return self.state.runs.get(self.run) or Run(number=self.run_number)

    @property
    def status(self) -> Status:
        return self.current.status

    @property
    def enhanced_prompt(self) -> str | None:
        """What the current run's model gets instead of the prompt; None until that is written."""
        return (self.enhanced or {}).get(self.run)

    @property
    def output(self) -> Output | None:
        """The last good pictures: those of the highest-numbered run that succeeded."""
        made = [run for run in self.state.runs.values() if run.output is not None]
        return max(made, key=lambda run: run.number).output if made else None
