"""Every handler -> its `Operation`; a route that is in neither document nor here fails a test."""

from typing import Final

from api import files, health
from api.blog import batches, jobs
from api.documents.described_keys import KEYS
from api.documents.described_library import LIBRARY
from api.documents.described_live import LIVE
from api.documents.described_openai import OPENAI
from api.documents.described_presets import PRESETS
from api.documents.described_recipes import RECIPES
from api.documents.described_stale import STALE
from api.documents.described_uploads import UPLOADS
from api.documents.operations import LIMITED, Answer, Handler, Operation
from api.readiness import Report
from schemas.common import Value
from schemas.wire import blog as wire
from schemas.wire import blog_batches

SUBMIT_HEADERS: Final = ("Idempotency-Key", "Prefer")
SUBMITTED: Final = ("Idempotent-Replayed", *LIMITED)
FILE: Final = ("ETag", "Cache-Control", "Accept-Ranges")
BLOG: Final = "blog"
FILES: Final = "files"
HEALTH: Final = "health"


def _submit(
    summary: str, answers: dict[int, Answer], body: type[Value] = wire.GenerationBody
) -> Operation:
    return Operation(
        tag=BLOG,
        summary=summary,
        body=body,
        headers=SUBMIT_HEADERS,
        answers=answers,
        refused=(429,),
    )


OPERATIONS: Final[dict[Handler, Operation]] = {
    **LIBRARY,
    **UPLOADS,
    **KEYS,
    **STALE,
    **LIVE,
    **PRESETS,
    **OPENAI,
    **RECIPES,
    jobs.generate_async: _submit(
        "Ask for pictures",
        {
            200: Answer(
                description="With `Prefer: wait`, the job that has ended meanwhile.",
                model=wire.ImageJobStatusResponse,
                headers=("Location",),
                sometimes=SUBMITTED,
            ),
            202: Answer(
                description="The job is accepted.",
                model=wire.ImageGenerationJobResponse,
                headers=("Location",),
                sometimes=SUBMITTED,
            ),
        },
    ),
    jobs.generate: _submit(
        "Ask for pictures and wait for them, at most 60 s",
        {
            200: Answer(
                description="The pictures.",
                model=wire.ImageGenerationResponse,
                headers=("Location",),
                sometimes=SUBMITTED,
            ),
            202: Answer(
                description="It takes longer; poll the job.",
                model=wire.ImageJobStatusResponse,
                headers=("Location", "Retry-After"),
                sometimes=SUBMITTED,
            ),
        },
    ),
    jobs.ls: Operation(
        tag=BLOG,
        summary="List jobs, newest first",
        query=wire.JobQuery,
        answers={200: Answer(description="One page of them.", model=wire.JobList)},
        refused=(422,),
    ),
    jobs.poll: Operation(
        tag=BLOG,
        summary="How far a job is",
        answers={
            200: Answer(
                description="The job; `Retry-After` until it has ended.",
                model=wire.ImageJobStatusResponse,
                sometimes=("Retry-After",),
            )
        },
        refused=(404, 422),
    ),
    jobs.cancel: Operation(
        tag=BLOG,
        summary="Cancel a job; one that has ended stays as it is",
        answers={
            200: Answer(
                description="The job, which may run until its worker has heard of it.",
                model=wire.ImageJobStatusResponse,
                sometimes=("Retry-After",),
            )
        },
        refused=(404, 422),
    ),
    batches.batch_generate: _submit(
        "Ask for the pictures of a whole page, all or none",
        {
            200: Answer(
                description="With `Prefer: wait`, the batch that has ended meanwhile.",
                model=blog_batches.BatchStatusResponse,
                headers=("Location",),
                sometimes=SUBMITTED,
            ),
            202: Answer(
                description="All of its jobs are accepted.",
                model=blog_batches.BatchImageGenerationResponse,
                headers=("Location",),
                sometimes=SUBMITTED,
            ),
        },
        blog_batches.BatchBody,
    ),
    batches.poll_batch: Operation(
        tag=BLOG,
        summary="How far a batch is",
        answers={
            200: Answer(
                description="The batch and its jobs; `Retry-After` until all have ended.",
                model=blog_batches.BatchStatusResponse,
                sometimes=("Retry-After",),
            )
        },
        refused=(404, 422),
    ),
    files.PICTURES: Operation(
        tag=FILES,
        summary="A picture, whole or in part",
        headers=("If-None-Match", "Range"),
        answers={
            200: Answer(description="The file.", media_type="*/*", headers=FILE),
            206: Answer(
                description="A part of it.", media_type="*/*", headers=(*FILE, "Content-Range")
            ),
            304: Answer(description="It has not changed: it never does.", headers=FILE),
        },
        refused=(404, 410, 416),
        needs_key=False,
    ),
    health.healthz: Operation(
        tag=HEALTH,
        summary="The process runs",
        answers={200: Answer(description="It does.", model=health.Health)},
        needs_key=False,
    ),
    health.readyz: Operation(
        tag=HEALTH,
        summary="What it stands on answers",
        answers={
            200: Answer(description="All of it does.", model=Report),
            503: Answer(description="A part does not.", model=Report, headers=("Retry-After",)),
        },
        needs_key=False,
    ),
    health.schema: Operation(
        tag=HEALTH,
        summary="The JSON Schema of an event type",
        answers={200: Answer(description="It.", media_type="application/schema+json")},
        refused=(404,),
        needs_key=False,
    ),
}
