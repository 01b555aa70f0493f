"""Pictures, where they may change, and a prompt -> pictures made from the first of them."""

import asyncio
import json
from hashlib import sha256
from typing import Final
from uuid import UUID, uuid4

from starlette.responses import Response
from starlette.routing import Route

from api.authentication import authenticate
from api.edge import extend
from api.forms import Form, read_form
from api.openai.answers import answered, submitted
from api.openai.wishes import wish_of
from api.requests import from_caller, idempotency
from api.state import AppRequest
from schemas.jobs import Idempotency, Reference, ReferenceRole
from schemas.wire import openai as wire
from services.accounts import Caller
from services.admission import Admitted
from services.conversion import painted_where_clear
from services.engine.catalogue import Size
from services.errors import DarkroomError, InvalidRequest
from services.library.decoding import DecodedUpload
from services.library.uploads import Belongings

MOST_FILES: Final = 8  #: pictures and a mask: a job has no more references
IMAGES: Final = ("image", "image[]")
MASK: Final = "mask"
DECODED_WITHIN: Final = 30.0  #: seconds, with those whose turn comes before
MISSING: Final = "image is required, as multipart/form-data"


async def edit(request: AppRequest) -> Response:
    """What is brought for a job stays in the library; what is refused leaves nothing there."""
    caller = await authenticate(request)
    caller.require()
    form = await read_form(request, MOST_FILES, InvalidRequest(MISSING, "/image"))
    with from_caller():
        body = wire.ImagesBody.model_validate_strings(form.fields)
        wish_of(body, caller, request.state["catalogue"])
    remembered = idempotency(request, caller, _fingerprint(form))
    admitted = None
    if remembered:
        admitted = await request.state["admission"].replay(remembered)
    if admitted is None:
        admitted = await _edited(request, caller, form, body, remembered)
    return await answered(request, admitted, body)


routes = [Route("/v1/images/edits", edit, methods=["POST"])]


async def _edited(
    request: AppRequest,
    caller: Caller,
    form: Form,
    body: wire.ImagesBody,
    remembered: Idempotency | None,
) -> Admitted:
    extend(request, DECODED_WITHIN)
    decoded = await _decoded(request, form)
    brought: list[Reference] = []
    try:
        for found, role in decoded:
            brought.append(Reference(image_id=uuid4(), role=role))
            await _add(request, caller, brought[-1].image_id, found)
        first = decoded[0][0]
        start = Size(width=first.width, height=first.height)
        wish = wish_of(body, caller, request.state["catalogue"], brought, start)
        admitted = await submitted(request, caller, wish, remembered)
    except DarkroomError:
        await _remove(request, caller, brought)
        raise
    if admitted.replayed:  # the same request was under way
        await _remove(request, caller, brought)
    return admitted


async def _decoded(request: AppRequest, form: Form) -> list[tuple[DecodedUpload, ReferenceRole]]:
    """Raise `InvalidRequest`, `UnsupportedImage` or `FileTooLarge`."""
    uploads = request.state["library"].uploads
    images = [file.content for file in form.files if file.name in IMAGES]
    masks = [file.content for file in form.files if file.name == MASK]
    if not images or len(masks) > 1 or len(images) + len(masks) != len(form.files):
        raise InvalidRequest(MISSING, "/image")
    found = [(await uploads.decoded(each), ReferenceRole.IMAGE) for each in images]
    for each in masks:
        mask = await uploads.decoded(each)
        if (mask.width, mask.height) != (found[0][0].width, found[0][0].height):
            raise InvalidRequest("The mask must be as large as the image", "/mask")
        try:
            painted = await asyncio.to_thread(painted_where_clear, mask.content)
        except ValueError as error:
            raise InvalidRequest(str(error), "/mask") from error
        found.append((await uploads.decoded(painted), ReferenceRole.MASK))
    return found


async def _add(
    request: AppRequest, caller: Caller, image: UUID | None, found: DecodedUpload
) -> None:
    assert image is not None
    belongings = Belongings(meta={"openai": "edit"})
    await request.state["library"].uploads.add(caller.project, image, found, belongings)


async def _remove(request: AppRequest, caller: Caller, brought: list[Reference]) -> None:
    for each in brought:
        if each.image_id:
            await request.state["library"].purging.image(caller.project, each.image_id)


def _fingerprint(form: Form) -> bytes:
    """Of what is asked; the text between the parts is another one each time."""
    files = [(file.name, sha256(file.content).hexdigest()) for file in form.files]
    return json.dumps([form.fields, files], sort_keys=True).encode()
