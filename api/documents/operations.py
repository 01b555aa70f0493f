"""What a route says of itself: what it takes, and everything that it may answer."""

from collections.abc import Callable
from typing import Any, Final

from pydantic import JsonValue

from schemas.common import Value

Handler = Callable[..., Any]
Header = dict[str, JsonValue]

INTEGER: Final[JsonValue] = {"type": "integer", "minimum": 0}
STRING: Final[JsonValue] = {"type": "string"}
UUID: Final[JsonValue] = {"type": "string", "format": "uuid"}

REFUSALS: Final = {
    400: "The request is not valid.",
    401: "The key or token is missing, unknown, expired or revoked.",
    403: "The key may not do this.",
    404: "There is no such thing here.",
    410: "It was purged.",
    413: "The request body is too large.",
    416: "The range lies outside of the file.",
    422: "The request is not valid.",
    429: "The key's rate limit is used up.",
    502: "The instance that this one sends recipes on to does not answer.",
    503: "A part that this needs does not answer; try again shortly.",
}
ANSWER_HEADERS: Final[dict[str, Header]] = {
    "Accept-Ranges": {"description": "`bytes`", "schema": STRING},
    "Cache-Control": {"description": "How long it may be kept.", "schema": STRING},
    "Content-Range": {"description": "Which part this is.", "schema": STRING},
    "ETag": {"description": "The SHA-256 of the bytes, quoted.", "schema": STRING},
    "Idempotent-Replayed": {
        "description": "`true`: this Idempotency-Key was answered before, and this is that answer.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Location": {"description": "Where the job is polled.", "schema": STRING},
    "RateLimit": {
        "description": '`"default";r=<requests left>;t=<seconds until the window ends>`, '
        "of keys with a limit (draft-ietf-httpapi-ratelimit-headers-11).",
        "schema": STRING,
    },
    "RateLimit-Policy": {
        "description": '`"default";q=<requests>;w=<seconds of the window>`.',
        "schema": STRING,
    },
    "Retry-After": {"description": "Seconds to wait.", "schema": INTEGER},
    "Vary": {"description": "The headers that the answer depends on.", "schema": STRING},
    "X-Cache-Hit-Count": {"description": "How often the picture was there.", "schema": INTEGER},
    "X-Cache-Status": {
        "description": "`HIT`: the picture was there. `MISS`: this request waited for it.",
        "schema": {"type": "string", "enum": ["HIT", "MISS"]},
    },
    "X-Generation-Id": {"description": "Of a MISS: the generation that made it.", "schema": UUID},
    "X-Image-Id": {"description": "The picture's id in the library.", "schema": UUID},
    "WWW-Authenticate": {"description": "How to authenticate.", "schema": STRING},
}
ASKED_HEADERS: Final[dict[str, Header]] = {
    "Idempotency-Key": {
        "description": "The same key and body get the first answer again, for 24 hours.",
        "schema": {"type": "string", "pattern": "^[ -~]{1,255}$"},
    },
    "Prefer": {
        "description": "`wait=N`: hold the answer until the job has ended, at most 60 s.",
        "schema": STRING,
        "example": "wait=30",
    },
    "If-None-Match": {"description": "An ETag that is known already.", "schema": STRING},
    "Range": {"description": "One range of bytes.", "schema": STRING, "example": "bytes=0-1023"},
}
#: Of refusals; these always have them.
REFUSAL_HEADERS: Final = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    502: ("Retry-After",),
    503: ("Retry-After",),
}
LIMITED: Final = ("RateLimit", "RateLimit-Policy")


class Answer(Value):
    """One status of an operation that succeeds."""

    description: str
    model: type[Value] | None = None
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()
    sometimes: tuple[str, ...] = ()  #: headers that are not always there


class Operation(Value):
    """`refused` are the refusals beside those that its other fields bring with them."""

    tag: str
    summary: str
    answers: dict[int, Answer]
    body: type[Value] | None = None
    body_required: bool = True
    body_type: str = "application/json"
    query: type[Value] | None = None
    headers: tuple[str, ...] = ()
    refused: tuple[int, ...] = ()
    needs_key: bool = True
    query_key: bool = False  #: the key may be in the query, too
    token: bool = False  #: no key, but a user's token

    @property
    def refusals(self) -> tuple[int, ...]:
        every = {*self.refused, 503}
        every |= {401, 403} if self.needs_key else set()
        every |= {401} if self.token else set()
        every |= {422} if self.body else set()
        every |= {413} if self.body and self.body_type == "application/json" else set()
        return tuple(sorted(every))
