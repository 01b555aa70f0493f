"""A picture's id and another format -> its bytes in that, made anew each time it is asked for."""

import asyncio
from hashlib import sha256
from typing import Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from api.files import FOREVER
from api.state import AppRequest
from schemas.wire import openai as wire
from services.conversion import converted
from services.errors import Gone, NotFound

KINDS: Final = ("jpeg", "webp")  #: what is stored is PNG


async def picture(request: AppRequest) -> Response:
    """Nothing more is stored of it, so that a purge has no more to find."""
    image_id: UUID = request.path_params["image_id"]
    kind: str = request.path_params["kind"]
    read_model = request.state["read_model"]
    if kind not in KINDS:
        raise NotFound
    image = await read_model.image(image_id)
    if image is None:
        raise Gone if await read_model.purged(image_id) else NotFound
    content = await request.state["object_store"].get(image.picture.relative_path)
    made = await asyncio.to_thread(converted, content, kind)
    etag = f'"{sha256(made).hexdigest()}"'
    told = {**FOREVER, "ETag": etag, "X-Content-Type-Options": "nosniff"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=told)
    return Response(made, headers=told, media_type=f"image/{kind}")


routes = [Route(f"{wire.FILES_PATH}{{image_id:uuid}}.{{kind}}", picture)]
