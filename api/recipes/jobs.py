"""How far a job is: one picture, or those of all steps with their manifest."""

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from api import problems
from api.authentication import authenticate_user_or_service
from api.recipes.replies import RecipesResponse
from api.requests import origin
from api.state import AppRequest
from schemas.jobs import Job
from schemas.wire import recipes as wire
from schemas.wire.shared import PICTURES_PATH
from services.errors import NotFound
from services.recipes import manifests


async def poll(request: AppRequest) -> Response:
    caller = await authenticate_user_or_service(request)
    handle = wire.Handle.parse(request.path_params["handle"])
    read_model = request.state["read_model"]
    job = handle and await read_model.job(caller.project, handle.job, caller.owner)
    depicted = job and wire.Depicted.of(job)
    if not (handle and job and depicted and depicted.kind is handle.kind):
        raise NotFound("Job not found")
    jobs: Sequence[Job] = (job,)
    if job.batch_id is not None:
        jobs = await read_model.batch(caller.project, job.batch_id, caller.owner)
    ended = all(each.status.terminal for each in jobs)
    headers = {} if ended else {"Retry-After": problems.RETRY_AFTER}
    return RecipesResponse(await shown(request, handle, jobs), headers=headers)


async def shown(request: AppRequest, handle: wire.Handle, jobs: Sequence[Job]) -> wire.JobReply:
    """As a poll shows it; a batch that has ended gets its manifest here."""
    if handle.kind is not wire.Kind.BATCH:
        return wire.polled(handle, jobs[0], origin(request))
    if not all(job.status.terminal for job in jobs):
        return wire.batch_polled(handle, jobs, None)
    manifest = wire.manifest(handle, jobs, origin(request))
    path = await manifests.stored(request.state["object_store"], manifest)
    return wire.batch_polled(handle, jobs, f"{origin(request)}{PICTURES_PATH}{path}")


routes = [Route(f"{wire.JOBS_PATH}{{handle}}", poll)]
