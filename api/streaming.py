"""An object of S3 -> an answer: whole, one range of it, or that it has not changed."""

import re
from collections.abc import Mapping
from typing import Final

from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from api.state import AppRequest
from services.errors import RangeNotSatisfiable
from services.object_store import ObjectStream, StoredObject

Headers = Mapping[str, str]

_RANGE: Final = re.compile(r"bytes=(?=.?[0-9])([0-9]{0,15})-([0-9]{0,15})")


async def send_object(request: AppRequest, path: str, headers: Headers, send: Send) -> None:
    """With `headers` beside those that the object brings; raise `NotFound` before anything is sent.

    Returns when the last byte is sent: the stream from S3 is closed however the client leaves.
    """
    store = request.state["object_store"]
    wanted = _wanted_range(request)
    conditional = {"if-none-match", "if-range"} & set(request.headers)
    if request.method == "HEAD" or conditional:
        facts = await store.head(path)
        if _unchanged(request, facts):
            known = Response(status_code=304, headers={**_facts(facts), **headers})
            await _send(known, request, send)
            return
        if request.method == "HEAD":
            await _send(Response(headers={**_sized(facts), **headers}), request, send)
            return
        if request.headers.get("if-range", _etag(facts)) != _etag(facts):
            wanted = None
    try:
        async with store.stream(path, wanted) as found:
            await _send(_streamed(found, headers), request, send)
    except RangeNotSatisfiable:
        size = (await store.head(path)).size
        told = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}
        await _send(Response(status_code=416, headers=told), request, send)


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


def _streamed(found: ObjectStream, headers: Headers) -> Response:
    facts = found.facts
    told = {**_sized(facts), **headers}
    if facts.content_range is None:
        return StreamingResponse(found.chunks(), 200, told)
    return StreamingResponse(found.chunks(), 206, {**told, "Content-Range": facts.content_range})


def _sized(facts: StoredObject) -> dict[str, str]:
    return _facts(facts) | {
        "Content-Type": facts.content_type,
        "Content-Length": str(facts.content_length),
    }


def _facts(facts: StoredObject) -> dict[str, str]:
    return {
        "ETag": _etag(facts),
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }


def _etag(facts: StoredObject) -> str:
    return f'"{facts.sha256}"'


async def _send(response: Response, request: AppRequest, send: Send) -> None:
    await response(request.scope, request.receive, send)
