"""An exception -> an answer in the error shape of the dialect that its path belongs to."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

import structlog
from pydantic import Field, JsonValue, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from schemas.common import Value
from services.broker import BROKER_OUTAGES
from services.errors import DarkroomError, InvalidRequest, RateLimited, Unauthorized, Unavailable
from services.mongo import OUTAGES

log = structlog.get_logger()

RETRY_AFTER: Final = "1"  #: seconds
SHOWN: Final = 5  #: of the reasons why a body isn't valid


class Reason(Value):
    pointer: str  #: JSON Pointer (RFC 6901)
    detail: str


class Refusal(Value):
    """What is said of an error, whatever the shape."""

    status_code: int
    code: str
    message: str
    reasons: tuple[Reason, ...] = ()
    headers: dict[str, str] = Field(default_factory=dict)


def answer(request: Request, error: Exception) -> Response:
    """Never a 500, never a trace: what nobody foresaw is logged here and answered with 503."""
    refusal = refused(error)
    shape = next((s for prefix, s in SHAPES if request.url.path.startswith(prefix)), problem)
    return shape(refusal)


def refused(error: Exception) -> Refusal:
    match error:
        case InvalidRequest(__cause__=ValidationError() as cause):
            return _of_validation(cause)
        case DarkroomError():
            return _of_ours(error)
        case HTTPException():
            code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
            return Refusal(
                status_code=error.status_code,
                code=code,
                message=error.detail,
                headers=dict(error.headers or {}),
            )
    if isinstance(error, (*OUTAGES, *BROKER_OUTAGES)):
        log.warning("part_unavailable", error=type(error).__name__)
    else:
        log.error("request_failed", exc_info=error)
    return _of_ours(Unavailable())


def problem(refusal: Refusal) -> Response:
    """RFC 9457."""
    errors: list[JsonValue] = [dict(reason) for reason in refusal.reasons]
    content: dict[str, JsonValue] = {
        "type": "about:blank",
        "title": HTTPStatus(refusal.status_code).phrase,
        "status": refusal.status_code,
        "detail": refusal.message,
        "code": refusal.code,
    }
    return JSONResponse(
        content | ({"errors": errors} if errors else {}),
        refusal.status_code,
        refusal.headers,
        media_type="application/problem+json",
    )


def detail(refusal: Refusal) -> Response:
    """The blog dialect's shape."""
    return JSONResponse({"detail": refusal.message}, refusal.status_code, refusal.headers)


#: Which path begins as whose; the first that fits, `problem` for the rest.
SHAPES: Final[tuple[tuple[str, Callable[[Refusal], Response]], ...]] = (
    ("/api/v1/images/generate", detail),
    ("/api/v1/images/jobs", detail),
    ("/api/v1/images/batch", detail),
)


def _of_ours(error: DarkroomError) -> Refusal:
    pointer = error.pointer if isinstance(error, InvalidRequest) else ""
    return Refusal(
        status_code=503 if error.status_code == 500 else error.status_code,
        code=error.code,
        message=error.message,
        reasons=(Reason(pointer=pointer, detail=error.message),) if pointer else (),
        headers=_headers(error),
    )


def _headers(error: DarkroomError) -> Mapping[str, str]:
    match error:
        case RateLimited():
            return {"Retry-After": str(max(1, round(error.retry_after)))}
        case Unauthorized():
            return {"WWW-Authenticate": "Bearer"}
        case DarkroomError() if error.status_code >= 500:
            return {"Retry-After": RETRY_AFTER}
    return {}


def _of_validation(error: ValidationError) -> Refusal:
    """Says where and why, and repeats nothing of what was sent."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    reasons = tuple(
        Reason(pointer="".join(f"/{part}" for part in each["loc"]), detail=each["msg"])
        for each in found[:SHOWN]
    )
    lines = (f"{reason.pointer[1:] or 'body'}: {reason.detail}" for reason in reasons)
    return Refusal(
        status_code=422, code=InvalidRequest.code, message="; ".join(lines), reasons=reasons
    )
