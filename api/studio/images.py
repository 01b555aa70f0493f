"""Images: listed, found by id or alias, marked, and deleted."""

from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from api.requests import from_caller, read_body
from api.state import AppRequest
from api.studio import showing
from api.studio.access import authorised
from api.studio.ids import flow_named
from api.studio.replies import CamelResponse, replied
from schemas.images import Image
from schemas.wire import studio_images as wire
from schemas.wire.studio import Page
from services.errors import ImageNotFound
from services.library.images import ImageFilter
from services.library.marks import MarkChanges


async def ls(request: AppRequest) -> Response:
    caller = await authorised(request, "read")
    with from_caller():
        query = wire.ImageQuery.model_validate(dict(request.query_params))
    chosen = ImageFilter(**query.model_dump(include=set(ImageFilter.model_fields)))
    images = request.state["library"].images
    page = await images.page(caller.project, chosen, query.limit, query.offset)
    return CamelResponse(Page.of(await showing.images(request, page.items), page.total, query))


async def resolve(request: AppRequest) -> Response:
    """Technical, then the flow's, then the project's; 404 while its picture is being made."""
    caller = await authorised(request, "read")
    with from_caller():
        query = wire.ResolveQuery.model_validate(dict(request.query_params))
    library = request.state["library"]
    flow_id = None if query.flow_id is None else flow_named(query.flow_id)
    if flow_id is not None:
        await library.flows.get(caller.project, flow_id)
    lead = await library.leads.resolve(caller.project, request.path_params["alias"], flow_id)
    if lead is None or lead.image_id is None:
        raise ImageNotFound
    image = await library.images.get(caller.project, lead.image_id)
    (shown,) = await showing.images(request, (image,))
    return replied(wire.Resolution(image=shown, scope=lead.scope.value, flow_id=lead.flow_id))


async def get(request: AppRequest) -> Response:
    caller = await authorised(request, "read")
    with from_caller():
        query = wire.FoundQuery.model_validate(dict(request.query_params))
    image = await request.state["library"].images.get(
        caller.project, _image_id(request), include_deleted=query.include_deleted
    )
    return await _shown(request, image)


async def put(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authorised(request)
    with from_caller():
        body = wire.ImageBody.model_validate_json(content)
    changes = MarkChanges(**body.model_dump(exclude_unset=True))
    return await _marked(request, caller.project, changes)


async def put_alias(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authorised(request)
    with from_caller():
        body = wire.AliasBody.model_validate_json(content)
    return await _marked(request, caller.project, MarkChanges(alias=body.alias))


async def remove_alias(request: AppRequest) -> Response:
    caller = await authorised(request)
    return await _marked(request, caller.project, MarkChanges(alias=None))


async def delete(request: AppRequest) -> Response:
    """Its URL still serves, unless it is purged."""
    caller = await authorised(request)
    with from_caller():
        query = wire.DeleteQuery.model_validate(dict(request.query_params))
    library, image_id = request.state["library"], _image_id(request)
    remove = library.purging.image if query.permanent else library.marks.delete
    deleted_at = await remove(caller.project, image_id)
    return replied(wire.Deleted(id=image_id, deleted_at=deleted_at))


routes = [
    Route("/api/v1/images", ls),
    Route("/api/v1/images/resolve/{alias}", resolve),
    Route("/api/v1/images/{image_id:uuid}", get),
    Route("/api/v1/images/{image_id:uuid}", put, methods=["PUT"]),
    Route("/api/v1/images/{image_id:uuid}", delete, methods=["DELETE"]),
    Route("/api/v1/images/{image_id:uuid}/alias", put_alias, methods=["PUT"]),
    Route("/api/v1/images/{image_id:uuid}/alias", remove_alias, methods=["DELETE"]),
]


async def _marked(request: AppRequest, project: str, changes: MarkChanges) -> Response:
    marks = request.state["library"].marks
    return await _shown(request, await marks.update(project, _image_id(request), changes))


async def _shown(request: AppRequest, image: Image) -> Response:
    (shown,) = await showing.images(request, (image,))
    return replied(shown)


def _image_id(request: AppRequest) -> UUID:
    image_id: UUID = request.path_params["image_id"]
    return image_id
