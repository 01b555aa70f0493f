"""A multipart form with a picture -> an image of the library."""

import json
from typing import Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from api.answers import answered_once
from api.edge import extend
from api.forms import read_form
from api.requests import from_caller
from api.state import AppRequest
from api.studio import showing
from api.studio.access import authorised
from api.studio.ids import flow_named
from api.studio.replies import replied
from schemas.wire.studio_uploads import FILE, UploadFields
from services.errors import InvalidRequest
from services.library.uploads import Belongings

MISSING: Final = "File is required, as multipart/form-data"
DECODED_WITHIN: Final = 20.0  #: seconds, with those whose turn comes before


async def upload(request: AppRequest) -> Response:
    caller = await authorised(request)
    content, told = await _form(request)
    with from_caller():
        fields = UploadFields.model_validate(told)
    to = Belongings(
        alias=fields.alias,
        flow_alias=fields.flow_alias,
        flow_id=flow_named(fields.flow_id) if fields.flow_id else None,
        meta=fields.meta or {},
    )
    uploads = request.state["library"].uploads
    extend(request, DECODED_WITHIN)
    found = await uploads.decoded(content)
    extend(request, request.state["settings"].api.unavailable_after.total_seconds())

    async def add(image_id: UUID) -> Response:
        image = await uploads.add(caller.project, image_id, found, to)
        (shown,) = await showing.images(request, (image,))
        return replied(shown, 201)

    asked = content + json.dumps(told, sort_keys=True).encode()
    return await answered_once(request, caller, asked, add)


routes = [Route("/api/v1/images/upload", upload, methods=["POST"])]


async def _form(request: AppRequest) -> tuple[bytes, dict[str, str]]:
    """The file and the fields beside it."""
    missing = InvalidRequest(MISSING, f"/{FILE}")
    fields, files = await read_form(request, 1, missing)
    if [file.name for file in files] != [FILE]:
        raise missing
    return files[0].content, fields
