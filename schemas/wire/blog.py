"""The blog dialect: request bodies in, replies out of a `Job`. Pure: no I/O, no clock."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from schemas.common import PROMPT_LIMIT, Prompt, Seed, Text, Time, Value, now
from schemas.jobs import Job, Run, Stage, Status, Tier
from schemas.wire.shared import error_message, picture_url

Side = Annotated[int, Field(ge=256, le=2048, multiple_of=8, strict=True)]
Label = Annotated[Text, Field(max_length=200)]

PROVIDER: Final = "darkroom"
POLL_PATH: Final = "/api/v1/images/jobs/"
WORDS: Final = {
    Status.PENDING: "queued",
    Status.RUNNING: "processing",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "failed",
}


class GenerationBody(Value):
    """The body of `generate` and `generate-async`."""

    prompt: Annotated[Prompt, Field(min_length=1)]
    quality: Tier = Tier.STANDARD
    aspect_ratio: Annotated[Text, Field(max_length=11)] | None = None  #: default 1:1
    width: Side | None = None
    height: Side | None = None
    style: Label | None = None
    negative_prompt: Prompt | None = None
    num_images: Annotated[int, Field(ge=1, le=4, strict=True)] = 1
    seed: Seed | None = None
    provider: Label | None = None
    blog_id: Label | None = None
    blog_job_id: Label | None = None

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height go together")
        if not self.prompt.strip():
            raise ValueError("prompt must not be blank")
        if len(self.styled_prompt) > PROMPT_LIMIT:
            raise ValueError(f"prompt and style are over {PROMPT_LIMIT:,} characters together")
        return self

    @property
    def styled_prompt(self) -> str:
        style = (self.style or "").strip()
        return f"{self.prompt}, {style} style" if style else self.prompt


class JobQuery(Value):
    """The query of a list of jobs."""

    blog_id: Label | None = None
    batch_id: UUID | None = None
    status: Literal["pending", "queued", "processing", "completed", "failed"] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    offset: Annotated[int, Field(ge=0, le=1_000_000)] = 0

    @property
    def statuses(self) -> tuple[Status, ...] | None:
        """The core states that the wanted word stands for."""
        wanted = "queued" if self.status == "pending" else self.status
        found = tuple(status for status, word in WORDS.items() if word == wanted)
        return None if wanted is None else found


class ImageGenerationJobResponse(Value):
    """The answer to a submit; the same whenever it is asked for again."""

    job_id: UUID
    status: str = "pending"
    message: str = "Image generation job created"
    estimated_completion_time: float | None = None  #: seconds from now
    is_draft: bool = False


class ResultImage(Value):
    url: str
    width: int
    height: int
    seed: int | None = None


class Result(Value):
    success: bool = True
    images: tuple[ResultImage, ...]
    generation_time_seconds: float
    provider: str
    model: str
    cost: float


class ImageJobStatusResponse(Value):
    """What a poll answers; what is not known is left out."""

    job_id: UUID
    status: str
    progress_percentage: int
    current_stage: Stage
    created_at: Time
    started_at: Time | None = None
    completed_at: Time | None = None
    result: Result | None = None
    error_message: str | None = None
    estimated_time_remaining: float | None = None  #: seconds
    is_draft: bool = False
    final_job_id: UUID | None = None
    batch_id: UUID | None = None
    blog_id: str | None = None
    blog_job_id: str | None = None


class JobList(Value):
    jobs: tuple[ImageJobStatusResponse, ...]
    total: int


class ImageGenerationResponse(Result):
    """The answer of the synchronous `generate`."""

    job_id: UUID


class Refusal(Value):
    """The answer to a request that is refused."""

    detail: str


def submitted(job: Job) -> ImageGenerationJobResponse:
    return ImageGenerationJobResponse(
        job_id=job.id,
        is_draft=job.is_draft,
        estimated_completion_time=job.estimated_seconds,
    )


def polled(job: Job, origin: str) -> ImageJobStatusResponse:
    """`job` as a poll shows it; picture URLs start with `origin` ("https://host")."""
    run = job.current
    return ImageJobStatusResponse(
        job_id=job.id,
        status=WORDS[run.status],
        progress_percentage=_percent(run),
        current_stage=_stage(run),
        created_at=job.created_at,
        started_at=run.started_at,
        completed_at=run.ended_at,
        result=_result(job, run, origin),
        error_message=error_message(run),
        estimated_time_remaining=_remaining(job, run),
        is_draft=job.is_draft,
        final_job_id=job.final_job_id,
        batch_id=job.batch_id,
        blog_id=job.blog_id,
        blog_job_id=job.blog_job_id,
    )


def generated(job: Job, origin: str) -> ImageGenerationResponse | None:
    """What `generate` answers once `job` has succeeded."""
    result = _result(job, job.current, origin)
    return None if result is None else ImageGenerationResponse(**dict(result), job_id=job.id)


def listed(jobs: Sequence[Job], total: int, origin: str) -> JobList:
    return JobList(jobs=tuple(polled(job, origin) for job in jobs), total=total)


def _percent(run: Run) -> int:
    if run.status is Status.SUCCEEDED:
        return 100
    return min(run.progress.percent, 99)


def _stage(run: Run) -> Stage:
    match run.status:
        case Status.PENDING:
            return Stage.QUEUED
        case Status.SUCCEEDED:
            return Stage.COMPLETED
        case Status.FAILED | Status.CANCELLED:
            return Stage.ERROR
    # a run has started before its first progress is heard of
    return Stage.LOADING_MODEL if run.progress.stage is Stage.QUEUED else run.progress.stage


def _remaining(job: Job, run: Run) -> float | None:
    """What was promised less what has passed; nothing once that is over."""
    if run.status.terminal or job.estimated_seconds is None:
        return None
    passed = (now() - job.requested_at).total_seconds()
    return round(max(job.estimated_seconds - passed, 0.0), 2)


def _result(job: Job, run: Run, origin: str) -> Result | None:
    if run.status is not Status.SUCCEEDED or run.output is None:
        return None
    return Result(
        images=tuple(
            ResultImage(
                url=picture_url(picture, origin),
                width=picture.width,
                height=picture.height,
                seed=picture.seed,
            )
            for picture in run.output.pictures
        ),
        generation_time_seconds=run.output.generation_seconds,
        provider=job.provider or PROVIDER,
        model=run.output.model,
        cost=run.output.cost,
    )
