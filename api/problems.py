"""An exception -> an answer in the error shape of the dialect that its path belongs to."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

import structlog
from pydantic import Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.common import Value
from schemas.wire import blog, openai, studio
from schemas.wire.problems import Problem, Reason
from schemas.wire.shared import PlainRefusal
from services.broker import BROKER_OUTAGES
from services.errors import (
    DarkroomError,
    IdempotencyMismatch,
    InvalidRequest,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from services.mongo import OUTAGES

log = structlog.get_logger()

RETRY_AFTER: Final = "1"  #: seconds
SHOWN: Final = 5  #: of the reasons why a body isn't valid
UNSTORED: Final[Mapping[str, str]] = {"Cache-Control": "no-store"}  #: it may be well in a second


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
    if refusal.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        refusal = refusal.model_copy(update={"headers": {"Allow": _allowed(request)}})
    shape = shape_of(request.url.path)
    if isinstance(error, HTTPException) and refusal.status_code == HTTPStatus.NOT_FOUND:
        refusal = refusal.model_copy(update={"message": shape.no_such_path or refusal.message})
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


class Shape(NamedTuple):
    """How a dialect says no."""

    model: type[Value]
    fill: Callable[[Refusal], Value]
    media_type: str = "application/json"
    bad_input: int = 422
    nulls: bool = False  #: what is not known is null, not absent
    no_such_path: str | None = None  #: what is said of an id that is none

    def __call__(self, refusal: Refusal) -> Response:
        text = self.fill(refusal).model_dump_json(exclude_none=not self.nulls)
        return Response(text, self._status(refusal), refusal.headers, self.media_type)

    def _status(self, refusal: Refusal) -> int:
        """A key that was used for another request is 422 in every dialect."""
        if refusal.code == IdempotencyMismatch.code or refusal.status_code != 422:
            return refusal.status_code
        return self.bad_input


def problem(refusal: Refusal) -> Problem:
    return Problem(
        title=HTTPStatus(refusal.status_code).phrase,
        status=refusal.status_code,
        detail=refusal.message,
        code=refusal.code,
        errors=refusal.reasons or None,
    )


def detail(refusal: Refusal) -> blog.Refusal:
    """With the place of each mistake, where it has one."""
    lines = (f"{each.pointer[1:] or 'body'}: {each.detail}" for each in refusal.reasons)
    return blog.Refusal(detail="; ".join(lines) or refusal.message)


def plain(refusal: Refusal) -> PlainRefusal:
    return PlainRefusal(error=refusal.message)


def enveloped(refusal: Refusal) -> studio.ErrorReply:
    return studio.ErrorReply(error=studio.Error(code=refusal.code, message=refusal.message))


def as_openai(refusal: Refusal) -> openai.OpenAIErrorReply:
    """With the dotted name of the first wrong field."""
    pointer = refusal.reasons[0].pointer if refusal.reasons else ""
    error = openai.OpenAIError(
        message=refusal.message,
        type="server_error" if refusal.status_code >= 500 else "invalid_request_error",
        param=pointer[1:].replace("/", ".") or None,
        code=openai.CODES.get(refusal.code, refusal.code),
    )
    return openai.OpenAIErrorReply(error=error)


DETAIL: Final = Shape(blog.Refusal, detail)
PROBLEM: Final = Shape(Problem, problem, "application/problem+json")
PLAIN: Final = Shape(PlainRefusal, plain, bad_input=400)
OPENAI: Final = Shape(openai.OpenAIErrorReply, as_openai, bad_input=400, nulls=True)
STUDIO: Final = Shape(studio.ErrorReply, enveloped, bad_input=400)

#: Which path, ended by a slash, begins as whose; the first that fits, `PROBLEM` for the rest.
SHAPES: Final[tuple[tuple[str, Shape], ...]] = (
    ("/api/v1/images/generate", DETAIL),
    ("/api/v1/images/jobs", DETAIL),
    ("/api/v1/images/batch", DETAIL),
    ("/api/v1/generations/", STUDIO._replace(no_such_path="Generation not found")),
    ("/api/v1/flows/", STUDIO._replace(no_such_path="Flow not found")),
    ("/api/v1/images/", STUDIO._replace(no_such_path="Image not found")),
    ("/api/v1/presets/", PLAIN._replace(no_such_path="Preset not found")),
    ("/api/v1/generate/", PLAIN._replace(no_such_path="Preset not found")),
    ("/api/v1/job/", PLAIN._replace(no_such_path="Job not found")),
    ("/api/image-gen/", PLAIN),
    ("/v1/", OPENAI._replace(no_such_path="Unknown request URL")),
    ("/api/v1/live/", STUDIO),
    ("/api/v1/keys/", STUDIO),
)


def shape_of(path: str) -> Shape:
    return next((shape for prefix, shape in SHAPES if f"{path}/".startswith(prefix)), PROBLEM)


def _allowed(request: Request) -> str:
    """Of every route with this path; Starlette names the methods of the first."""
    path = request.url.path
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    found = [route.methods or set() for route in routes if route.path_regex.match(path)]
    return ", ".join(sorted(set[str]().union(*found)))


def _of_ours(error: DarkroomError) -> Refusal:
    return Refusal(
        status_code=503 if error.status_code == 500 else error.status_code,
        code=error.code,
        message=error.message,
        reasons=(Reason(pointer=error.pointer, detail=error.message),) if error.pointer else (),
        headers=_headers(error),
    )


def _headers(error: DarkroomError) -> Mapping[str, str]:
    match error:
        case RateLimited():
            return {"Retry-After": _seconds(error.retry_after)}
        case Unauthorized():
            return {"WWW-Authenticate": "Bearer"}
        case Unavailable():
            return {"Retry-After": _seconds(error.retry_after), **UNSTORED}
        case DarkroomError() if error.status_code >= 500:
            return {"Retry-After": RETRY_AFTER, **UNSTORED}
    return {}


def _seconds(wait: float) -> str:
    return str(max(1, round(wait)))


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
