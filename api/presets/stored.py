"""Presets as they are stored: listed, shown, saved as their next version, and deleted."""

from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from api.presets.access import authorised
from api.presets.replies import replied
from api.requests import from_caller, read_body
from api.state import AppRequest
from schemas.jobs import GenerationSpec
from schemas.presets import Preset
from schemas.wire import presets as wire
from services.accounts import Caller
from services.settled import settled


async def ls(request: AppRequest) -> Response:
    caller = await authorised(request, reading=True)
    presets = request.state["library"].presets
    found = await presets.ls(caller.project)
    return replied(wire.listed(found, await presets.covers(caller.project, found)))


async def get(request: AppRequest) -> Response:
    caller = await authorised(request, reading=True)
    with from_caller():
        query = wire.VersionQuery.model_validate(dict(request.query_params))
    presets = request.state["library"].presets
    preset = await presets.get(caller.project, _slug(request), query.version)
    return await _shown(request, caller, preset)


async def save(request: AppRequest) -> Response:
    """What no job could be made from is refused here, not when somebody needs it."""
    content = await read_body(request)
    caller = await authorised(request)
    with from_caller():
        preset = wire.PresetBody.model_validate_json(content).preset(_slug(request))
    asked = preset.applied(GenerationSpec(prompt=preset.prompt))
    settled(asked, request.state["catalogue"], UUID(int=0))
    saved = await request.state["library"].presets.save(caller.project, preset)
    return await _shown(request, caller, saved.preset, 201 if saved.created else 200)


async def delete(request: AppRequest) -> Response:
    """The project's own: the seeded one that it hid shows again."""
    caller = await authorised(request)
    deleted = await request.state["library"].presets.delete(caller.project, _slug(request))
    return await _shown(request, caller, deleted)


routes = [
    Route("/api/v1/presets", ls),
    Route("/api/v1/presets/{slug}", get),
    Route("/api/v1/presets/{slug}", save, methods=["PUT"]),
    Route("/api/v1/presets/{slug}", delete, methods=["DELETE"]),
]


def _slug(request: AppRequest) -> str:
    slug: str = request.path_params["slug"]
    return slug


async def _shown(
    request: AppRequest, caller: Caller, preset: Preset, status_code: int = 200
) -> Response:
    covers = await request.state["library"].presets.covers(caller.project, (preset,))
    return replied(wire.shown(preset, covers), status_code)
