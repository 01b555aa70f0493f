"""The recipes dialect: bodies in, replies out of `Job`s. Pure: no I/O, no clock."""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field

from schemas.common import Prompt, Text, Value
from schemas.jobs import Dialect, Job, Run, Status
from schemas.recipes import Recipe, RecipeStep
from schemas.wire.shared import error_message, picture_url

JOBS_PATH: Final = "/api/image-gen/jobs/"
MOST_STEPS: Final = 100
LAST_STEP: Final = 10_000  #: that may be asked for by itself
META: Final = "recipe"  #: the field of a job's `meta` that says what its picture is of
WORDS: Final = {
    Status.PENDING: "pending",
    Status.RUNNING: "running",
    Status.SUCCEEDED: "done",
    Status.FAILED: "failed",
    Status.CANCELLED: "failed",
}


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Title = Annotated[Text, Field(max_length=500), AfterValidator(_said)]
Description = Annotated[Prompt, AfterValidator(_said)]
Word = Literal["pending", "running", "done", "failed"]
Style = Annotated[Text, Field(max_length=500)]
StepNumber = Annotated[int, Field(ge=1, le=LAST_STEP)]


class Kind(StrEnum):
    """What a job handle stands for: one picture, or those of all steps."""

    HERO = "hero"
    STEP = "step"
    BATCH = "batch"


class HeroBody(Value):
    title: Title
    description: Prompt | None = None
    style: Style | None = None


class StepBody(Value):
    step_index: Annotated[StepNumber, Field(strict=True)] | None = None  #: the one in the path
    description: Description
    style: Style | None = None


class Step(Value):
    description: Description


class BatchBody(Value):
    """Without `steps` those of the recipe are illustrated."""

    style: Style | None = None
    title: Title | None = None
    steps: Annotated[tuple[Step, ...], Field(max_length=MOST_STEPS)] | None = None


class RecipeBody(Value):
    title: Title
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=MOST_STEPS)]

    def recipe(self, recipe_id: str) -> Recipe:
        steps = tuple(RecipeStep(description=step.description) for step in self.steps)
        return Recipe(recipe_id=recipe_id, title=self.title, steps=steps)


class Depicted(Value):
    """What a job's picture is of."""

    kind: Kind
    recipe_id: str
    step_index: int | None = None

    @classmethod
    def of(cls, job: Job) -> "Depicted | None":
        if job.dialect is not Dialect.RECIPES:
            return None
        return cls.model_validate(job.meta[META])


class Handle(Value):
    """`img_<kind>_<the job's UUID in hex>`; a batch has that of its first job."""

    kind: Kind
    job: UUID

    @classmethod
    def parse(cls, text: str) -> Self | None:
        found = re.fullmatch(r"img_(hero|step|batch)_([0-9a-f]{32})", text)
        return cls(kind=Kind(found[1]), job=UUID(hex=found[2])) if found else None

    def __str__(self) -> str:
        return f"img_{self.kind}_{self.job.hex}"


class SubmitReply(Value):
    """The answer to a POST; the same whenever it is asked for again."""

    job_id: str
    status: Word = "pending"


class JobReply(Value):
    job_id: str
    status: Word
    result_url: str | None
    error: str | None


class StepResult(Value):
    step_index: int | None
    status: Literal["done", "failed"]
    result_url: str | None
    error: str | None


class Manifest(Value):
    """The file that a batch's `result_url` leads to once all of it has ended."""

    job_id: str
    results: tuple[StepResult, ...]


def polled(handle: Handle, job: Job, origin: str) -> JobReply:
    """A job of one picture; its URL starts with `origin` ("https://host")."""
    run = job.current
    return JobReply.model_validate(
        {
            "job_id": str(handle),
            "status": WORDS[run.status],
            "result_url": _result_url(run, origin),
            "error": error_message(run),
        }
    )


def batch_polled(handle: Handle, jobs: Sequence[Job], manifest_url: str | None) -> JobReply:
    """A batch; `manifest_url` once all of `jobs` have ended."""
    found = {job.status for job in jobs}
    status = Status.RUNNING
    if all(each.terminal for each in found):
        status = Status.SUCCEEDED if found == {Status.SUCCEEDED} else Status.FAILED
    elif found == {Status.PENDING}:
        status = Status.PENDING
    return JobReply.model_validate(
        {
            "job_id": str(handle),
            "status": WORDS[status],
            "result_url": manifest_url,
            "error": _count(jobs) if status is Status.FAILED else None,
        }
    )


def manifest(handle: Handle, jobs: Sequence[Job], origin: str) -> Manifest:
    """Of jobs that have all ended, in the order of their steps."""
    return Manifest.model_validate(
        {
            "job_id": str(handle),
            "results": [
                {
                    "step_index": each.step_index,
                    "status": WORDS[job.status],
                    "result_url": _result_url(job.current, origin),
                    "error": error_message(job.current),
                }
                for job in jobs
                if (each := Depicted.of(job))
            ],
        }
    )


def _result_url(run: Run, origin: str) -> str | None:
    if run.status is not Status.SUCCEEDED or run.output is None:
        return None
    return picture_url(run.output.pictures[0], origin)


def _count(jobs: Sequence[Job]) -> str:
    failed = sum(job.status is not Status.SUCCEEDED for job in jobs)
    cancelled = sum(job.status is Status.CANCELLED for job in jobs)
    told = f", {cancelled} of them cancelled" if cancelled else ""
    return f"{failed} of {len(jobs)} images failed{told}"
