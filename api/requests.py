"""What every dialect reads from a request beside its body's fields."""

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from typing import Final

from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from api.edge import extend
from api.state import AppRequest
from schemas.common import now
from schemas.jobs import Idempotency
from services.accounts import Caller
from services.errors import BodyTooLarge, InvalidRequest

READ_WITHIN: Final = 30.0  #: seconds for a body to arrive
REMEMBERED: Final = timedelta(hours=24)
LONGEST_WAIT: Final = 60  #: seconds

_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_WAIT = re.compile(r"wait\s*=\s*\"?([0-9]{1,9})\"?")
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


async def read_body(request: AppRequest) -> bytes:
    """The body whatever its type; `BodyTooLarge` as soon as it is, before all of it is here."""
    api = request.state["settings"].api
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > api.body_limit:
        raise BodyTooLarge
    body = bytearray()
    async for piece in received(request):
        body += piece
        if len(body) > api.body_limit:
            raise BodyTooLarge
    return bytes(body)


async def received(request: AppRequest) -> AsyncGenerator[bytes, None]:
    """The body's pieces as they come; only while they come may the request take longer."""
    several = False
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        if more and not several:
            several = True
            extend(request, READ_WITHIN)
        yield message.get("body", b"")
    if several:
        extend(request, request.state["settings"].api.unavailable_after.total_seconds())


@contextmanager
def from_caller() -> Iterator[None]:
    """What doesn't validate in here is the caller's mistake; anywhere else it would be ours."""
    try:
        yield
    except ValidationError as error:
        raise InvalidRequest from error


def idempotency(request: AppRequest, caller: Caller, body: bytes) -> Idempotency | None:
    """What `Idempotency-Key` asks to be remembered, per project, user and route."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidRequest("Idempotency-Key must be 1 to 255 ASCII characters")
    return Idempotency(
        scope="\n".join((caller.project, caller.owner or "", request.url.path)),
        key=key,
        request_sha256=sha256(body).hexdigest(),
        expires_at=now() + REMEMBERED,
    )


def preferred_wait(request: AppRequest) -> float:
    """Seconds of `Prefer: wait=N` (RFC 7240), at most `LONGEST_WAIT`; 0 when there is none."""
    for preference in ",".join(request.headers.getlist("prefer")).lower().split(","):
        if found := _WAIT.fullmatch(preference.partition(";")[0].strip()):
            return float(min(int(found[1]), LONGEST_WAIT))
    return 0.0


def origin(request: AppRequest) -> str:
    """What absolute URLs begin with: the setting's, else the one that the caller used."""
    if public := request.state["settings"].public_url:
        return public.rstrip("/")
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise InvalidRequest("The Host header is not valid")
    return f"{request.scope['scheme']}://{host}"


def traceparent(request: AppRequest) -> str | None:
    """W3C Trace Context; a malformed one counts as none."""
    given = request.headers.get("traceparent", "")
    return given if _TRACEPARENT.fullmatch(given) else None
