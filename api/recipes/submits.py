"""Pictures of a recipe: a body becomes wishes, the wishes jobs, the first one's id a handle."""

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from api import limits
from api.authentication import authenticate_user_or_service
from api.recipes import wishes
from api.recipes.access import recipe_id, step_number
from api.recipes.jobs import shown
from api.recipes.replies import RecipesResponse
from api.requests import from_caller, idempotency, preferred_wait, read_body
from api.state import AppRequest
from api.waiting import until_ended
from schemas.recipes import Recipe
from schemas.wire import recipes as wire
from services.accounts import Caller
from services.admission import Wish
from services.errors import InvalidRequest, NotFound


async def hero(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authenticate_user_or_service(request)
    recipe = recipe_id(request)
    with from_caller():
        body = wire.HeroBody.model_validate_json(content)
        wish = wishes.hero(body, recipe, caller, request.state["catalogue"])
    return await _submit(request, caller, content, wire.Kind.HERO, (wish,))


async def step(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authenticate_user_or_service(request)
    number = step_number(request)
    depicted = wire.Depicted(kind=wire.Kind.STEP, recipe_id=recipe_id(request), step_index=number)
    with from_caller():
        body = wire.StepBody.model_validate_json(content)
        if body.step_index not in (None, number):
            raise InvalidRequest("step_index is not the step in the path", "/step_index")
        wish = wishes.step(body, depicted, caller, request.state["catalogue"])
    return await _submit(request, caller, content, wire.Kind.STEP, (wish,))


async def batch(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authenticate_user_or_service(request)
    named = recipe_id(request)
    with from_caller():
        body = wire.BatchBody.model_validate_json(content or b"{}")
    known = await request.state["recipes"].get(caller.project, named)
    recipe = _illustrated(body, named, known)
    title = body.title or (known.title if known else None)
    with from_caller():
        asked = wishes.steps(recipe, title, body.style, caller, request.state["catalogue"])
    return await _submit(request, caller, content, wire.Kind.BATCH, asked)


async def put_recipe(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authenticate_user_or_service(request)
    named = recipe_id(request)
    with from_caller():
        recipe = wire.RecipeBody.model_validate_json(content).recipe(named)
    await request.state["recipes"].save(caller.project, recipe)
    return RecipesResponse(recipe)


routes = [
    Route("/api/image-gen/recipes/{recipe_id}/hero", hero, methods=["POST"]),
    Route("/api/image-gen/recipes/{recipe_id}/steps/batch", batch, methods=["POST"]),
    Route("/api/image-gen/recipes/{recipe_id}/steps/{n}", step, methods=["POST"]),
    Route("/api/image-gen/recipes/{recipe_id}", put_recipe, methods=["PUT"]),
]


def _illustrated(body: wire.BatchBody, named: str, known: Recipe | None) -> Recipe:
    """The recipe with the steps of the body, or those that are known; raise `NotFound`."""
    if body.steps:
        return wire.RecipeBody(title=body.title or named, steps=body.steps).recipe(named)
    if known is None or not known.steps:
        raise NotFound("No steps of this recipe are known")
    return known


async def _submit(
    request: AppRequest,
    caller: Caller,
    content: bytes,
    kind: wire.Kind,
    asked: Sequence[Wish],
) -> Response:
    remembered = idempotency(request, caller, content)
    admitted = await limits.submit(request, caller, asked, remembered)
    handle = wire.Handle(kind=kind, job=admitted.jobs[0].id)
    headers = {"Location": f"{wire.JOBS_PATH}{handle}"}
    if admitted.replayed:
        headers["Idempotent-Replayed"] = "true"
    if seconds := preferred_wait(request):
        jobs = await until_ended(request, admitted.jobs, seconds)
        if all(job.status.terminal for job in jobs):
            return RecipesResponse(await shown(request, handle, jobs), 200, headers)
    return RecipesResponse(wire.SubmitReply(job_id=str(handle)), 200, headers)
