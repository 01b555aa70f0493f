"""Studio's generations: request bodies in, replies out of a `Job`. Pure: no I/O, no clock."""

from collections.abc import Mapping
from math import gcd
from typing import Annotated, Final, Literal, Protocol
from uuid import UUID

from pydantic import ConfigDict, Field, StrictBool

from schemas.common import Meta, Prompt, Seed, Text, Time
from schemas.images import Image
from schemas.jobs import GenerationSpec, Job, JobState, Output, Reference, Status, Tier
from schemas.wire.shared import error_message, picture_url
from schemas.wire.studio import Camel, PageQuery

PATH: Final = "/api/v1/generations/"
WORDS: Final = {
    Status.PENDING: "pending",
    Status.RUNNING: "processing",
    Status.SUCCEEDED: "success",
    Status.FAILED: "failed",
    Status.CANCELLED: "failed",
}
StatusWord = Literal["pending", "processing", "success", "failed"]

#: Of any text; what is no alias, id or ratio is refused by its own message.
Name = Annotated[Text, Field(max_length=200)]


class Overrides(Camel):
    """The body of a retry: what shall be different."""

    prompt: Prompt | None = None
    aspect_ratio: Name | None = None  #: default 1:1
    seed: Seed | None = None


class SubmitBody(Overrides):
    """The body of a submit; aliases have an older spelling each."""

    model_config = ConfigDict(json_schema_extra={"required": ["prompt"]})

    negative_prompt: Prompt | None = None
    model: Annotated[Name, Field(min_length=1)] | None = None
    quality: Tier = Tier.STANDARD
    reference_images: Annotated[tuple[Name, ...], Field(max_length=8)] | None = None
    flow_id: Name | None = None
    alias: Name | None = None
    assign_alias: Name | None = None
    flow_alias: Name | None = None
    assign_flow_alias: Name | None = None
    auto_enhance: StrictBool | None = None  #: default true
    meta: Meta | None = None

    @property
    def project_alias(self) -> str | None:
        return self.assign_alias if self.alias is None else self.alias

    @property
    def alias_in_flow(self) -> str | None:
        return self.assign_flow_alias if self.flow_alias is None else self.flow_alias


class GenerationQuery(PageQuery):
    """The query of a list of generations."""

    flow_id: UUID | None = None
    status: StatusWord | None = None
    include_deleted: bool = False

    @property
    def statuses(self) -> tuple[Status, ...] | None:
        """The core states that the wanted word stands for."""
        found = tuple(status for status, word in WORDS.items() if word == self.status)
        return None if self.status is None else found


class ReferenceImage(Camel):
    """`id` and `url` are null while the picture is still being made."""

    id: UUID | None
    alias: str | None
    url: str | None


class OutputImage(Camel):
    id: UUID
    url: str
    storage_url: str
    alias: str | None
    width: int
    height: int


class Generation(Camel):
    """What a submit and a poll answer; what is not known is null."""

    id: UUID
    status: StatusWord
    prompt: str
    enhanced_prompt: str | None
    aspect_ratio: str
    reference_images: tuple[ReferenceImage, ...]
    flow_id: UUID | None
    output_image: OutputImage | None
    output_image_id: UUID | None
    alias: str | None
    flow_alias: str | None
    auto_enhance: bool
    seed: int | None
    model: str
    error: str | None
    retry_count: int
    processing_time_ms: int | None
    meta: Meta
    created_at: Time
    started_at: Time | None
    completed_at: Time | None
    deleted_at: Time | None


def first_asked(job: Job) -> Job:
    """`job` as it was when it was submitted, so that a submit is answered twice alike."""
    told = {} if job.first is None else dict(job.first)
    before = {"run": job.id, "run_number": 1, "state": JobState(), "deleted_at": None}
    return job.model_copy(update={**told, **before, "enhanced": None})


def asked_again(job: Job) -> Job:
    """`job` as it was when its current run was asked for: that one had not begun."""
    before = {run: told for run, told in job.state.runs.items() if run != job.run}
    state = job.state.model_copy(update={"runs": before})
    return job.model_copy(update={"state": state, "enhanced": None})


class Around(Protocol):
    """The pictures that a job's reply shows, but for those that are gone, and their aliases."""

    @property
    def images(self) -> Mapping[UUID, Image]: ...
    @property
    def aliases(self) -> Mapping[UUID, str]: ...
    def referenced(self, image: UUID | None, job: UUID | None) -> Image | None: ...


def generation(job: Job, around: Around, origin: str) -> Generation:
    """`job` as a poll shows it; picture URLs start with `origin` ("https://host")."""
    run = job.current
    shown = _output_image(job.output, around, origin)
    took = run.ended_at - run.started_at if run.ended_at and run.started_at else None
    return Generation(
        id=job.id,
        status=WORDS[run.status],
        prompt=job.spec.prompt,
        enhanced_prompt=job.enhanced_prompt,
        aspect_ratio=job.aspect_ratio or _reduced(job.spec),
        reference_images=tuple(
            _reference_image(each, around, origin) for each in job.spec.references
        ),
        flow_id=job.flow_id,
        output_image=shown,
        output_image_id=shown and shown.id,
        alias=job.alias,
        flow_alias=job.flow_alias,
        auto_enhance=job.spec.enhance,
        seed=job.spec.seed,
        model=job.spec.model,
        error=error_message(run),
        retry_count=job.run_number - 1,
        processing_time_ms=None if took is None else round(took.total_seconds() * 1000),
        meta=job.meta,
        created_at=job.created_at,
        started_at=run.started_at,
        completed_at=run.ended_at,
        deleted_at=job.deleted_at,
    )


def _output_image(output: Output | None, around: Around, origin: str) -> OutputImage | None:
    image = around.images.get(output.pictures[0].image_id) if output else None
    if image is None:
        return None
    url = picture_url(image.picture, origin)
    return OutputImage(
        id=image.id,
        url=url,
        storage_url=url,
        alias=around.aliases.get(image.id),
        width=image.picture.width,
        height=image.picture.height,
    )


def _reference_image(reference: Reference, around: Around, origin: str) -> ReferenceImage:
    image = around.referenced(reference.image_id, reference.job_id)
    url = picture_url(image.picture, origin) if image else None
    return ReferenceImage(
        id=image.id if image else reference.image_id, alias=reference.alias, url=url
    )


def _reduced(spec: GenerationSpec) -> str:
    """Of a job that was asked for in pixels."""
    common = gcd(spec.width, spec.height)
    return f"{spec.width // common}:{spec.height // common}"
