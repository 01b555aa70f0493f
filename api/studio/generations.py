"""Generations: a body becomes a wish, the wish a job, the job with its pictures an answer."""

from typing import Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from api import problems
from api.promises import counted, promised
from api.requests import from_caller, idempotency, preferred_wait, read_body, traceparent
from api.state import AppRequest
from api.studio import showing
from api.studio.access import authorised
from api.studio.ids import flow_named
from api.studio.replies import CamelResponse, replied
from api.waiting import until_ended
from schemas.jobs import Dialect, GenerationSpec, Job
from schemas.wire import studio_generations as wire
from schemas.wire.studio import Page
from schemas.wire.studio_images import Deleted, DeleteQuery, FoundQuery
from services.accounts import Caller
from services.admission import Admitted, Wish
from services.engine.catalogue import Catalogue
from services.errors import PromptRequired
from services.library.generations import GenerationFilter
from services.reruns import Changes

DEFAULT_RATIO: Final = "1:1"


async def create(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authorised(request)
    with from_caller():
        body = wire.SubmitBody.model_validate_json(content or b"{}")
        wish = wish_of(body, caller, request.state["catalogue"])
    admitted = await request.state["admission"].submit(
        caller.project,
        promised(request, caller.project, (wish,)),
        idempotency=idempotency(request, caller, content),
    )
    return await _submitted(request, counted(request, admitted), 201)


async def retry(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authorised(request)
    with from_caller():
        body = wire.Overrides.model_validate_json(content or b"{}")
    job = await _found(request, caller)
    changes = changes_of(body, job, request.state["catalogue"])
    spec = changes.applied(job)
    expected = request.state["estimates"].seconds(caller.project, spec, job.lane)
    told = {"traceparent": traceparent(request), "estimated_seconds": expected}
    changes = changes.model_copy(update=told)
    admitted = await request.state["admission"].rerun(
        job, changes, idempotency=idempotency(request, caller, content)
    )
    return await _submitted(request, counted(request, admitted), 200)


async def ls(request: AppRequest) -> Response:
    caller = await authorised(request, "read")
    with from_caller():
        query = wire.GenerationQuery.model_validate(dict(request.query_params))
    chosen = GenerationFilter(
        flow_id=query.flow_id, statuses=query.statuses, include_deleted=query.include_deleted
    )
    generations = request.state["library"].generations
    page = await generations.page(caller.project, chosen, query.limit, query.offset)
    shown = await showing.generations(request, page.items)
    return CamelResponse(Page.of(shown, page.total, query))


async def get(request: AppRequest) -> Response:
    caller = await authorised(request, "read")
    with from_caller():
        query = FoundQuery.model_validate(dict(request.query_params))
    job = await _found(request, caller, include_deleted=query.include_deleted)
    return await _shown(request, job)


async def delete(request: AppRequest) -> Response:
    """Its output too; what it is to make yet never shows. A purge leaves nothing behind."""
    caller = await authorised(request)
    with from_caller():
        query = DeleteQuery.model_validate(dict(request.query_params))
    library, job_id = request.state["library"], _job_id(request)
    remove = library.purging.generation if query.permanent else library.deletion.delete
    return replied(Deleted(id=job_id, deleted_at=await remove(caller.project, job_id)))


routes = [
    Route("/api/v1/generations", create, methods=["POST"]),
    Route("/api/v1/generations", ls),
    Route("/api/v1/generations/{generation_id:uuid}", get),
    Route("/api/v1/generations/{generation_id:uuid}", delete, methods=["DELETE"]),
    Route("/api/v1/generations/{generation_id:uuid}/retry", retry, methods=["POST"]),
    Route(
        "/api/v1/generations/{generation_id:uuid}/regenerate",
        retry,
        methods=["POST"],
        name="regenerate",
    ),
]


def wish_of(body: wire.SubmitBody, caller: Caller, catalogue: Catalogue) -> Wish:
    """Raise `PromptRequired`, `UnknownModel`, `InvalidAspectRatio` or `FlowNotFound`."""
    if not (body.prompt or "").strip():
        raise PromptRequired
    ratio = DEFAULT_RATIO if body.aspect_ratio is None else body.aspect_ratio
    model = catalogue.find(body.model or "default")
    size = model.size_for(ratio)
    spec = GenerationSpec(
        prompt=body.prompt or "",
        negative_prompt=body.negative_prompt or "",
        model=model.id,
        tier=body.quality,
        width=size.width,
        height=size.height,
        seed=body.seed,
        enhance=body.auto_enhance is not False,
    )
    flow_id = None if body.flow_id is None else flow_named(body.flow_id)
    return Wish(
        spec=spec,
        dialect=Dialect.STUDIO,
        owner=caller.owner,
        flow_id=flow_id,
        new_flow=flow_id is None,
        alias=body.project_alias,
        flow_alias=body.alias_in_flow,
        references=body.reference_images or (),
        aspect_ratio=ratio,
        meta=body.meta or {},
    )


def changes_of(body: wire.Overrides, job: Job, catalogue: Catalogue) -> Changes:
    """Raise `PromptRequired` or `InvalidAspectRatio`."""
    if body.prompt is not None and not body.prompt.strip():
        raise PromptRequired
    changes = Changes(prompt=body.prompt, seed=body.seed)
    if body.aspect_ratio is None:
        return changes
    size = catalogue.find(job.spec.model).size_for(body.aspect_ratio)
    sizes = {"width": size.width, "height": size.height, "aspect_ratio": body.aspect_ratio}
    return changes.model_copy(update=sizes)


async def _submitted(request: AppRequest, admitted: Admitted, status_code: int) -> Response:
    """As it was when it was asked for, unless the caller has waited for its end."""
    (job,) = admitted.jobs
    headers = {"Location": f"{wire.PATH}{job.id}"}
    headers |= {"Idempotent-Replayed": "true"} if admitted.replayed else {}
    if seconds := preferred_wait(request):
        (later,) = await until_ended(request, (job,), seconds)
        if later.status.terminal:
            return await _shown(request, later, headers)
    asked = wire.first_asked(job) if status_code == 201 else wire.asked_again(job)
    (reply,) = await showing.generations(request, (asked,))
    return replied(reply, status_code, headers)


async def _found(request: AppRequest, caller: Caller, *, include_deleted: bool = False) -> Job:
    generations = request.state["library"].generations
    return await generations.get(caller.project, _job_id(request), include_deleted=include_deleted)


def _job_id(request: AppRequest) -> UUID:
    job_id: UUID = request.path_params["generation_id"]
    return job_id


async def _shown(request: AppRequest, job: Job, headers: dict[str, str] | None = None) -> Response:
    (reply,) = await showing.generations(request, (job,))
    wait = {} if job.status.terminal else {"Retry-After": problems.RETRY_AFTER}
    return replied(reply, 200, {**(headers or {}), **wait})
