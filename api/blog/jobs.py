"""Jobs: a body becomes a wish, the wish a job, the job's document an answer."""

from starlette.responses import Response
from starlette.routing import Route

from api import limits, problems
from api.authentication import authenticate_for_job
from api.blog.access import authorised
from api.blog.wishes import wish_of
from api.replies import ModelResponse
from api.requests import (
    LONGEST_WAIT,
    from_caller,
    idempotency,
    origin,
    preferred_wait,
    read_body,
)
from api.state import AppRequest
from api.waiting import until_ended
from schemas.jobs import Job
from schemas.keys import Scope
from schemas.wire import blog
from services.errors import NotFound, Unavailable
from services.read_model import JobFilter

Headers = dict[str, str]


async def generate_async(request: AppRequest) -> Response:
    job, headers = await _submit(request)
    if seconds := preferred_wait(request):
        (job_now,) = await until_ended(request, (job,), seconds)
        if job_now.status.terminal:
            return ModelResponse(blog.polled(job_now, origin(request)), 200, headers)
    return ModelResponse(blog.submitted(job), 202, headers)


async def generate(request: AppRequest) -> Response:
    job, headers = await _submit(request)
    (job,) = await until_ended(request, (job,), preferred_wait(request) or LONGEST_WAIT)
    if reply := blog.generated(job, origin(request)):
        return ModelResponse(reply, 200, headers)
    shown = blog.polled(job, origin(request))
    if job.status.terminal:
        raise Unavailable(shown.error_message)
    return ModelResponse(shown, 202, headers | {"Retry-After": problems.RETRY_AFTER})


async def poll(request: AppRequest) -> Response:
    job = await _found(request, "read")
    return _shown(request, job)


async def cancel(request: AppRequest) -> Response:
    """Asks for the end of a job; its worker decides, so that the answer may still be running."""
    job = await _found(request)
    if not job.status.terminal:
        await request.state["admission"].cancel(job, "cancelled by the caller")
    return _shown(request, job)


async def ls(request: AppRequest) -> Response:
    caller = await authorised(request, reading=True)
    with from_caller():
        query = blog.JobQuery.model_validate(dict(request.query_params))
    chosen = JobFilter(
        owner=caller.owner, blog_id=query.blog_id, batch_id=query.batch_id, statuses=query.statuses
    )
    page = await request.state["read_model"].jobs(caller.project, chosen, query.limit, query.offset)
    return ModelResponse(blog.listed(page.jobs, page.total, origin(request)))


routes = [
    Route("/api/v1/images/generate-async", generate_async, methods=["POST"]),
    Route("/api/v1/images/generate", generate, methods=["POST"]),
    Route("/api/v1/images/jobs", ls),
    Route("/api/v1/images/jobs/{job_id:uuid}", poll),
    Route("/api/v1/images/jobs/{job_id:uuid}", cancel, methods=["DELETE"]),
]


async def _submit(request: AppRequest) -> tuple[Job, Headers]:
    content = await read_body(request)
    caller = await authorised(request)
    with from_caller():
        body = blog.GenerationBody.model_validate_json(content)
        wish = wish_of(body, caller, request.state["catalogue"])
    remembered = idempotency(request, caller, content)
    admitted = await limits.submit(request, caller, (wish,), remembered)
    (job,) = admitted.jobs
    headers = {"Location": f"{blog.POLL_PATH}{job.id}"}
    return job, headers | ({"Idempotent-Replayed": "true"} if admitted.replayed else {})


async def _found(request: AppRequest, *scopes: Scope) -> Job:
    caller, job = await authenticate_for_job(request, request.path_params["job_id"])
    caller.require(*scopes)
    if job is None:
        raise NotFound("Job not found")
    return job


def _shown(request: AppRequest, job: Job) -> Response:
    headers = {} if job.status.terminal else {"Retry-After": problems.RETRY_AFTER}
    return ModelResponse(blog.polled(job, origin(request)), headers=headers)
