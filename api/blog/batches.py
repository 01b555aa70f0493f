"""Batches: a body becomes wishes, all of them jobs or none; their documents one answer."""

from collections.abc import Sequence
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from api import limits, problems
from api.blog.access import authorised
from api.blog.wishes import wishes_of
from api.replies import ModelResponse
from api.requests import from_caller, idempotency, origin, preferred_wait, read_body
from api.state import AppRequest
from api.waiting import until_ended
from schemas.jobs import Job
from schemas.wire import blog_batches as wire
from services.errors import NotFound


async def batch_generate(request: AppRequest) -> Response:
    """One request, however many images it is for: it counts once against a limit."""
    content = await read_body(request)
    caller = await authorised(request)
    with from_caller():
        body = wire.BatchBody.model_validate_json(content)
        wishes = wishes_of(body, caller, request.state["catalogue"])
    remembered = idempotency(request, caller, content)
    admitted = await limits.submit(request, caller, wishes, remembered)
    reply = wire.batched(admitted.jobs)
    headers = {"Location": f"{wire.BATCH_PATH}{reply.batch_id}"}
    if admitted.replayed:
        headers["Idempotent-Replayed"] = "true"
    if seconds := preferred_wait(request):
        jobs = await until_ended(request, admitted.jobs, seconds)
        if _ended(jobs):
            return ModelResponse(wire.batch_polled(jobs, origin(request)), 200, headers)
    return ModelResponse(reply, 202, headers)


async def poll_batch(request: AppRequest) -> Response:
    caller = await authorised(request, reading=True)
    batch: UUID = request.path_params["batch_id"]
    jobs = await request.state["read_model"].batch(caller.project, batch, caller.owner)
    if not jobs:
        raise NotFound("Batch not found")
    headers = {} if _ended(jobs) else {"Retry-After": problems.RETRY_AFTER}
    return ModelResponse(wire.batch_polled(jobs, origin(request)), headers=headers)


routes = [
    Route("/api/v1/images/batch-generate", batch_generate, methods=["POST"]),
    Route(f"{wire.BATCH_PATH}{{batch_id:uuid}}", poll_batch),
]


def _ended(jobs: Sequence[Job]) -> bool:
    return all(job.status.terminal for job in jobs)
