"""What is out of date in a flow, and making just that again."""

from typing import Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from api.answers import answered_once
from api.edge import extend
from api.requests import from_caller, read_body, traceparent
from api.state import AppRequest
from api.studio.access import authorised
from api.studio.replies import replied
from schemas.wire.studio_stale import (
    Reason,
    RefreshBody,
    RefreshReply,
    StaleGeneration,
    StaleReply,
)
from services.library.staleness import Stale

BEGUN_WITHIN: Final = 60.0  #: seconds; each run is a transaction of its own


async def stale(request: AppRequest) -> Response:
    caller = await authorised(request, "read")
    found = await request.state["refreshes"].stale(caller.project, _flow_id(request))
    return replied(StaleReply(stale=tuple(map(_shown, found))))


async def refresh(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authorised(request)
    with from_caller():
        body = RefreshBody.model_validate_json(content or b"{}")

    async def make(_thing: UUID) -> Response:
        extend(request, BEGUN_WITHIN)
        refreshed = await request.state["refreshes"].refresh(
            caller.project,
            _flow_id(request),
            dry_run=body.dry_run,
            traceparent=traceparent(request),
        )
        return replied(RefreshReply(**refreshed.model_dump(), dry_run=body.dry_run))

    return await answered_once(request, caller, content, make)


routes = [
    Route("/api/v1/flows/{flow_id:uuid}/stale", stale),
    Route("/api/v1/flows/{flow_id:uuid}/refresh", refresh, methods=["POST"]),
]


def _flow_id(request: AppRequest) -> UUID:
    flow_id: UUID = request.path_params["flow_id"]
    return flow_id


def _shown(found: Stale) -> StaleGeneration:
    because = tuple(Reason(**reason.model_dump()) for reason in found.because)
    return StaleGeneration(generation_id=found.generation, because=because)
