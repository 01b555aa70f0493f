"""`/static/uploads/<relative path>` -> the stored bytes, whole or in part."""

import re
from typing import Final
from uuid import UUID

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.state import AppRequest
from services.errors import Gone, NotFound, RangeNotSatisfiable
from services.object_store import ObjectStream, StoredObject

FOREVER: Final = "public, max-age=31536000, immutable"

_OURS = re.compile(r"[a-z]+(/[A-Za-z0-9_-]+)+\.(png|jpg|jpeg|webp|json)")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RANGE = re.compile(r"bytes=(?=.?[0-9])([0-9]{0,15})-([0-9]{0,15})")


class Pictures:
    """An ASGI application, so that the stream from S3 is closed however the client leaves."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = AppRequest(scope, receive)
        path: str = request.path_params["path"]
        if not _OURS.fullmatch(path):
            raise NotFound
        try:
            await self._serve(request, path, send)
        except NotFound:
            found = _UUID.search(path.rpartition("/")[2])
            if found and await request.state["read_model"].purged(UUID(found[0])):
                raise Gone from None
            raise

    async def _serve(self, request: AppRequest, path: str, send: Send) -> None:
        store = request.state["object_store"]
        wanted = _wanted_range(request)
        conditional = {"if-none-match", "if-range"} & set(request.headers)
        if request.method == "HEAD" or conditional:
            facts = await store.head(path)
            if _unchanged(request, facts):
                await _send(Response(status_code=304, headers=_headers(facts)), request, send)
                return
            if request.method == "HEAD":
                await _send(Response(headers=_sized(facts)), request, send)
                return
            if request.headers.get("if-range", _etag(facts)) != _etag(facts):
                wanted = None
        try:
            async with store.stream(path, wanted) as found:
                await _send(_streamed(found), request, send)
        except RangeNotSatisfiable:
            size = (await store.head(path)).size
            headers = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}
            await _send(Response(status_code=416, headers=headers), request, send)


PICTURES: Final = Pictures()

routes = [Route("/static/uploads/{path:path}", PICTURES, methods=["GET"], name="pictures")]


def _wanted_range(request: AppRequest) -> str | None:
    """One well-formed range; anything else is ignored, as RFC 9110 allows."""
    matched = _RANGE.fullmatch(request.headers.get("range", ""))
    if matched is None or (matched[1] and matched[2] and int(matched[2]) < int(matched[1])):
        return None
    return matched[0]


def _unchanged(request: AppRequest, facts: StoredObject) -> bool:
    """Weak comparison (RFC 9110, 13.1.2)."""
    known = request.headers.get("if-none-match", "")
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    return "*" in tags or _etag(facts) in tags


def _streamed(found: ObjectStream) -> Response:
    facts = found.facts
    headers = _sized(facts)
    if facts.content_range is None:
        return StreamingResponse(found.chunks(), 200, headers)
    return StreamingResponse(found.chunks(), 206, headers | {"Content-Range": facts.content_range})


def _sized(facts: StoredObject) -> dict[str, str]:
    return _headers(facts) | {
        "Content-Type": facts.content_type,
        "Content-Length": str(facts.content_length),
    }


def _headers(facts: StoredObject) -> dict[str, str]:
    return {
        "ETag": _etag(facts),
        "Cache-Control": FOREVER,
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }


def _etag(facts: StoredObject) -> str:
    return f'"{facts.sha256}"'


async def _send(response: Response, request: AppRequest, send: Send) -> None:
    await response(request.scope, request.receive, send)
