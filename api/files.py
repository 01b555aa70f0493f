"""`/static/uploads/<relative path>` -> the stored bytes, whole or in part."""

import re
from typing import Final
from uuid import UUID

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.state import AppRequest
from api.streaming import send_object
from services.errors import Gone, NotFound

FOREVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}

_OURS = re.compile(r"[a-z]+(/[A-Za-z0-9_-]+)+\.(png|jpg|jpeg|webp|json)")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Pictures:
    """An ASGI application, so that the stream from S3 is closed however the client leaves."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = AppRequest(scope, receive)
        path: str = request.path_params["path"]
        if not _OURS.fullmatch(path):
            raise NotFound
        try:
            await send_object(request, path, FOREVER, send)
        except NotFound:
            found = _UUID.search(path.rpartition("/")[2])
            if found and await request.state["read_model"].purged(UUID(found[0])):
                raise Gone from None
            raise


PICTURES: Final = Pictures()

routes = [Route("/static/uploads/{path:path}", PICTURES, methods=["GET"], name="pictures")]
