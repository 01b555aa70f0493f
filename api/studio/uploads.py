"""A multipart form with a picture -> an image of the library."""

import json
from collections.abc import AsyncGenerator
from typing import Final
from uuid import UUID

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response
from starlette.routing import Route

from api.answers import answered_once
from api.edge import extend
from api.requests import from_caller, received
from api.state import AppRequest
from api.studio import showing
from api.studio.access import authorised
from api.studio.ids import flow_named
from api.studio.replies import replied
from schemas.wire.studio_uploads import FILE, UploadFields
from services.errors import FileTooLarge, InvalidRequest
from services.library.uploads import Belongings

FILE_LIMIT: Final = 5 * 1024 * 1024  #: bytes
FIELD_LIMIT: Final = 64 * 1024  #: bytes of `meta`, and of any other field
MOST_FIELDS: Final = 16
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
    """The file and the fields beside it; what is too large is refused while it comes."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InvalidRequest(MISSING, f"/{FILE}")
    parser = MultiPartParser(
        request.headers,
        _limited(request),
        max_files=1,
        max_fields=MOST_FIELDS,
        max_part_size=FIELD_LIMIT,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(error.message) from error
    except UnicodeError as error:  # of a charset that is no text's
        raise InvalidRequest("The form can't be read") from error
    try:
        fields = {name: text for name, text in form.items() if isinstance(text, str)}
        return await _file(form), fields
    finally:
        await form.close()


async def _limited(request: AppRequest) -> AsyncGenerator[bytes, None]:
    """Whatever Content-Length says, or doesn't."""
    size = 0
    async for piece in received(request):
        size += len(piece)
        if size > FILE_LIMIT + MOST_FIELDS * FIELD_LIMIT:
            raise FileTooLarge
        yield piece


async def _file(form: FormData) -> bytes:
    file = form.get(FILE)
    if not isinstance(file, UploadFile) or not file.size:
        raise InvalidRequest(MISSING, f"/{FILE}")
    if file.size > FILE_LIMIT:
        raise FileTooLarge
    return await file.read()
