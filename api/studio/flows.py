"""Flows: begun, listed with what they hold, given aliases, and deleted."""

from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from api.answers import answered_once
from api.requests import from_caller, read_body
from api.state import AppRequest
from api.studio import showing
from api.studio.access import authorised
from api.studio.ids import image_named
from api.studio.replies import CamelResponse, replied
from schemas.wire import studio_flows as wire
from schemas.wire.studio import Page, PageQuery
from services.library.generations import GenerationFilter
from services.library.images import ImageFilter


async def create(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authorised(request)
    with from_caller():
        body = wire.FlowBody.model_validate_json(content or b"{}")

    async def make(flow: UUID) -> Response:
        made = await request.state["library"].flows.create(caller.project, body.meta or {}, flow)
        (shown,) = await showing.flows(request, caller.project, (made,))
        return replied(shown, 201, {"Location": f"{wire.PATH}{flow}"})

    return await answered_once(request, caller, content, make)


async def ls(request: AppRequest) -> Response:
    caller = await authorised(request, "read")
    query = _page(request)
    flows = request.state["library"].flows
    page = await flows.page(caller.project, query.limit, query.offset)
    shown = await showing.flows(request, caller.project, page.items)
    return CamelResponse(Page.of(shown, page.total, query))


async def get(request: AppRequest) -> Response:
    caller = await authorised(request, "read")
    view = await request.state["library"].flows.get(caller.project, _flow_id(request))
    (shown,) = await showing.flows(request, caller.project, (view,))
    return replied(shown)


async def generations(request: AppRequest) -> Response:
    caller = await authorised(request, "read")
    query = _page(request)
    library = request.state["library"]
    await library.flows.get(caller.project, _flow_id(request))
    chosen = GenerationFilter(flow_id=_flow_id(request))
    page = await library.generations.page(caller.project, chosen, query.limit, query.offset)
    shown = await showing.generations(request, page.items)
    return CamelResponse(Page.of(shown, page.total, query))


async def images(request: AppRequest) -> Response:
    caller = await authorised(request, "read")
    query = _page(request)
    library = request.state["library"]
    await library.flows.get(caller.project, _flow_id(request))
    chosen = ImageFilter(flow_id=_flow_id(request))
    page = await library.images.page(caller.project, chosen, query.limit, query.offset)
    return CamelResponse(Page.of(await showing.images(request, page.items), page.total, query))


async def put_aliases(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authorised(request)
    with from_caller():
        body = wire.AliasesBody.model_validate_json(content)
    named = {name: image_named(image) for name, image in body.aliases.items()}
    flows = request.state["library"].flows
    view = await flows.put_aliases(caller.project, _flow_id(request), named)
    (shown,) = await showing.flows(request, caller.project, (view,))
    return replied(shown)


async def remove_alias(request: AppRequest) -> Response:
    caller = await authorised(request)
    flows = request.state["library"].flows
    name = request.path_params["alias"]
    view = await flows.remove_alias(caller.project, _flow_id(request), name)
    (shown,) = await showing.flows(request, caller.project, (view,))
    return replied(shown)


async def delete(request: AppRequest) -> Response:
    """What the flow had stays, and belongs to none."""
    caller = await authorised(request)
    await request.state["library"].flows.delete(caller.project, _flow_id(request))
    return replied(wire.DeletedFlow(id=_flow_id(request)))


routes = [
    Route("/api/v1/flows", create, methods=["POST"]),
    Route("/api/v1/flows", ls),
    Route("/api/v1/flows/{flow_id:uuid}", get),
    Route("/api/v1/flows/{flow_id:uuid}", delete, methods=["DELETE"]),
    Route("/api/v1/flows/{flow_id:uuid}/generations", generations),
    Route("/api/v1/flows/{flow_id:uuid}/images", images),
    Route("/api/v1/flows/{flow_id:uuid}/aliases", put_aliases, methods=["PUT"]),
    Route("/api/v1/flows/{flow_id:uuid}/aliases/{alias}", remove_alias, methods=["DELETE"]),
]


def _flow_id(request: AppRequest) -> UUID:
    flow_id: UUID = request.path_params["flow_id"]
    return flow_id


def _page(request: AppRequest) -> PageQuery:
    with from_caller():
        return PageQuery.model_validate(dict(request.query_params))
