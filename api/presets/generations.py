"""Pictures made with a preset: asked for, and polled one job at a time."""

from starlette.responses import Response
from starlette.routing import Route

from api import limits, problems
from api.presets.access import authorised, job_of_caller
from api.presets.replies import replied
from api.presets.wishes import wishes_of
from api.requests import from_caller, idempotency, preferred_wait, read_body
from api.state import AppRequest
from api.waiting import until_ended
from schemas.jobs import Dialect, Idempotency
from schemas.wire import presets as wire
from services.accounts import Caller
from services.admission import Admitted
from services.errors import NotFound


async def generate(request: AppRequest) -> Response:
    """One request, however many pictures it is for: it counts once against a limit."""
    content = await read_body(request)
    caller = await authorised(request)
    with from_caller():
        body = wire.GenerateBody.model_validate_json(content.strip() or b"{}")
    admitted = await _admitted(request, caller, body, idempotency(request, caller, content))
    headers = {"Location": f"{wire.JOB_PATH}{admitted.jobs[0].id}"}
    headers |= {"Idempotent-Replayed": "true"} if admitted.replayed else {}
    if seconds := preferred_wait(request):
        jobs = await until_ended(request, admitted.jobs, seconds)
        if all(job.status.terminal for job in jobs):
            ended = tuple(wire.polled(job) for job in jobs)
            return replied(wire.JobReplies(jobs=ended), 200, headers)
    return replied(wire.queued(admitted.jobs), 202, headers)


async def poll(request: AppRequest) -> Response:
    """Of this dialect's jobs alone: others have no label."""
    job = await job_of_caller(request, request.path_params["job_id"])
    if job is None or job.dialect is not Dialect.PRESETS:
        raise NotFound("Job not found")
    wait = {} if job.status.terminal else {"Retry-After": problems.RETRY_AFTER}
    return replied(wire.polled(job), headers=wait)


routes = [
    Route("/api/v1/generate/{slug}", generate, methods=["POST"]),
    Route(f"{wire.JOB_PATH}{{job_id:uuid}}", poll),
]


async def _admitted(
    request: AppRequest, caller: Caller, body: wire.GenerateBody, remembered: Idempotency | None
) -> Admitted:
    """What was answered before needs no preset: it may be deleted by now."""
    if remembered and (before := await request.state["admission"].replay(remembered)):
        return before
    presets = request.state["library"].presets
    preset = await presets.get(caller.project, request.path_params["slug"], body.version)
    wishes = wishes_of(preset, body, caller, request.state["catalogue"])
    return await limits.submit(request, caller, wishes, remembered)
