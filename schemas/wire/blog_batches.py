"""The blog dialect's batches: a body in, replies out of the `Job`s of a batch. Pure."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from schemas.common import Value
from schemas.jobs import Job, Status, Tier
from schemas.wire.blog import GenerationBody, ImageJobStatusResponse, Label, polled

BATCH_PATH: Final = "/api/v1/images/batches/"
LARGEST: Final = 100  #: images


class Workflow(StrEnum):
    STANDARD = "standard"  #: each image at its own quality
    DRAFT_THEN_FINAL = "draft_then_final"  #: as a draft, and then at high by itself
    FINAL_ONLY = "final_only"  #: at high, without a draft


class BatchBody(Value):
    """The body of `batch-generate`; an image's own ids win over the batch's."""

    images: Annotated[tuple[GenerationBody, ...], Field(min_length=1, max_length=LARGEST)]
    workflow: Workflow = Workflow.STANDARD
    blog_id: Label | None = None
    blog_job_id: Label | None = None

    def asked(self, image: GenerationBody) -> GenerationBody:
        """`image` as the batch means it."""
        told = {
            "blog_id": image.blog_id or self.blog_id,
            "blog_job_id": image.blog_job_id or self.blog_job_id,
            "quality": {
                Workflow.STANDARD: image.quality,
                Workflow.DRAFT_THEN_FINAL: Tier.DRAFT,
                Workflow.FINAL_ONLY: Tier.HIGH,
            }[self.workflow],
        }
        return image.model_copy(update=told)


class BatchImageGenerationResponse(Value):
    """The answer to a submit; the same whenever it is asked for again."""

    batch_id: UUID
    job_ids: tuple[UUID, ...]  #: of the images in their order; their drafts where they have one
    status: str = "pending"
    total_images: int
    estimated_completion_time: float | None = None  #: seconds from the submit to the last picture


class BatchStatusResponse(BatchImageGenerationResponse):
    """What a batch's poll answers. An image with a draft has ended when its final has."""

    completed: int  #: images
    failed: int
    jobs: tuple[ImageJobStatusResponse, ...]  #: in the order of `job_ids`, then their finals


def batched(jobs: Sequence[Job]) -> BatchImageGenerationResponse:
    """`jobs` are all of one batch, in the order of their admission."""
    asked = [job for job in jobs if job.spec.draft_job_id is None]
    expected = [job.estimated_seconds for job in jobs if job.estimated_seconds is not None]
    assert asked[0].batch_id is not None
    return BatchImageGenerationResponse(
        batch_id=asked[0].batch_id,
        job_ids=tuple(job.id for job in asked),
        total_images=len(asked),
        estimated_completion_time=max(expected) if len(expected) == len(jobs) else None,
    )


def batch_polled(jobs: Sequence[Job], origin: str) -> BatchStatusResponse:
    """As `batched`; picture URLs start with `origin` ("https://host")."""
    last = [job.status for job in jobs if job.final_job_id is None]
    completed = last.count(Status.SUCCEEDED)
    return BatchStatusResponse(
        **dict(batched(jobs)) | {"status": _word(jobs, completed)},
        completed=completed,
        failed=last.count(Status.FAILED) + last.count(Status.CANCELLED),
        jobs=tuple(polled(job, origin) for job in jobs),
    )


def _word(jobs: Sequence[Job], completed: int) -> str:
    if all(job.status.terminal for job in jobs):
        return "completed" if completed else "failed"
    return "processing" if any(map(_begun, jobs)) else "pending"


def _begun(job: Job) -> bool:
    """A job that was cancelled before it ran has begun nothing."""
    waited = job.status in (Status.PENDING, Status.CANCELLED)
    return job.current.started_at is not None or not waited
