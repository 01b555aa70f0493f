"""The presets dialect: bodies in, replies out of presets and jobs. Pure: no I/O, no clock."""

from collections.abc import Collection, Sequence
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import Field, model_validator

from schemas.common import Prompt, Seed, Text, Time, Value
from schemas.jobs import Job, LoraWeight, Status, Tier
from schemas.presets import LATEST, Preset
from schemas.wire.shared import PICTURES_PATH, error_message

JOB_PATH: Final = "/api/v1/job/"
NAME_IN_META: Final = "preset"  #: of a job: the preset's name when it was asked for
WORDS: Final = {
    Status.PENDING: "pending",
    Status.RUNNING: "processing",
    Status.SUCCEEDED: "done",
    Status.FAILED: "failed",
    Status.CANCELLED: "failed",
}

Side = Annotated[int, Field(ge=8, le=8192, multiple_of=8, strict=True)]
Version = Annotated[int, Field(ge=1, le=LATEST, strict=True)]
Guidance = Annotated[float, Field(ge=0, le=50, allow_inf_nan=False, strict=True)]
Checkpoint = Annotated[Text, Field(min_length=1, max_length=200)]


class _Sized(Value):
    width: Side | None = None
    height: Side | None = None

    @model_validator(mode="after")
    def _sides_go_together(self) -> Self:
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height go together")
        return self


class GenerateBody(_Sized):
    """The body of `generate`; what it leaves out is the preset's."""

    count: Annotated[int, Field(ge=1, le=20, strict=True)] = 1
    checkpoint: Checkpoint | None = None
    extra_positive: Prompt | None = None
    extra_negative: Prompt | None = None
    seed: Seed | None = None
    version: Version | None = None  #: of the preset, to make what an earlier one made


class PresetBody(_Sized):
    """The body of a `PUT`."""

    name: Annotated[Text, Field(min_length=1, max_length=200)]
    prompt: Annotated[Prompt, Field(min_length=1)]
    negative_prompt: Prompt = ""
    checkpoint: Checkpoint = "default"
    tier: Tier = Tier.STANDARD
    guidance_scale: Guidance | None = None
    num_inference_steps: Annotated[int, Field(ge=1, le=500, strict=True)] | None = None
    loras: Annotated[tuple[LoraWeight, ...], Field(max_length=8)] = ()
    cover_image_id: UUID | None = None

    def preset(self, slug: str) -> Preset:
        return Preset(slug=slug, **dict(self))


class VersionQuery(Value):
    version: Annotated[int, Field(ge=1, le=LATEST)] | None = None


class ListedPreset(Value):
    preset_id: str  #: the slug again
    slug: str
    name: str
    has_cover: bool


class PresetList(Value):
    presets: tuple[ListedPreset, ...]


class ShownPreset(ListedPreset):
    version: int
    seeded: bool  #: belongs to all projects
    prompt: str
    negative_prompt: str
    checkpoint: str
    tier: Tier
    width: int | None
    height: int | None
    guidance_scale: float | None
    num_inference_steps: int | None
    loras: tuple[LoraWeight, ...]
    cover_image_id: UUID | None
    updated_at: Time


class QueuedJob(Value):
    job_id: UUID
    status: str = "queued"


class QueuedJobs(Value):
    jobs: tuple[QueuedJob, ...]


class PresetResult(Value):
    image_url: str  #: relative to the server's root
    relative_path: str
    seed: int | None


class JobReply(Value):
    """What a poll answers; `result` is there once it is done, and only then."""

    id: UUID
    label: str
    status: str
    error: str | None
    result: PresetResult | None = None


class JobReplies(Value):
    """What `generate` answers to those who waited until all have ended."""

    jobs: tuple[JobReply, ...]


def listed(presets: Sequence[Preset], covers: Collection[UUID]) -> PresetList:
    return PresetList(presets=tuple(_listed(preset, covers) for preset in presets))


def shown(preset: Preset, covers: Collection[UUID]) -> ShownPreset:
    facts = preset.model_dump(exclude={"project"})
    head = dict(_listed(preset, covers))
    return ShownPreset.model_validate({**facts, **head, "seeded": preset.project is None})


def queued(jobs: Sequence[Job]) -> QueuedJobs:
    return QueuedJobs(jobs=tuple(QueuedJob(job_id=job.id, status="queued") for job in jobs))


def polled(job: Job) -> JobReply:
    run = job.current
    facts = {
        "id": job.id,
        "label": f"Preset: {job.meta[NAME_IN_META]} \N{EN DASH} preview",
        "status": WORDS[run.status],
        "error": error_message(run),
    }
    if run.status is Status.SUCCEEDED and run.output is not None:
        picture = run.output.pictures[0]
        facts["result"] = PresetResult(
            image_url=f"{PICTURES_PATH}{picture.relative_path}",
            relative_path=picture.relative_path,
            seed=picture.seed,
        )
    return JobReply.model_validate(facts)


def _listed(preset: Preset, covers: Collection[UUID]) -> ListedPreset:
    return ListedPreset(
        preset_id=preset.slug,
        slug=preset.slug,
        name=preset.name,
        has_cover=preset.cover_image_id in covers,
    )
