"""With `IMAGE_GEN_URL`: a user's request -> the same to the instance there, by the service."""

from typing import Final
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Route

from api.authentication import authenticate_user
from api.edge import extend
from api.requests import preferred_wait, read_body, traceparent
from api.state import AppRequest
from services.recipes.upstream import ANSWER_WITHIN

ASKED: Final = ("content-type", "idempotency-key", "prefer")
ANSWERED: Final = (
    "cache-control",
    "content-type",
    "idempotent-replayed",
    "location",
    "retry-after",
)
MARGIN: Final = 0.5  #: seconds to say that there was none


async def forward(request: AppRequest) -> Response:
    """Only users: a service's token would lead an instance that names itself round in circles."""
    content = await read_body(request)
    caller = await authenticate_user(request)
    wait = preferred_wait(request)
    extend(request, ANSWER_WITHIN + wait + MARGIN)
    upstream = request.state["upstream"]
    assert upstream is not None, "these routes are there with it only"
    headers = {name: request.headers[name] for name in ASKED if name in request.headers}
    if trace := traceparent(request):
        headers["traceparent"] = trace
    query = f"?{request.url.query}" if request.url.query else ""
    answer = await upstream.ask(
        caller,
        request.method,
        quote(request.url.path) + query,
        content=content,
        headers=headers,
        wait=wait,
    )
    kept = {name: answer.headers[name] for name in ANSWERED if name in answer.headers}
    return Response(answer.content, answer.status_code, kept)


def forwarded(route: Route) -> Route:
    """The same path and methods, sent on."""
    return Route(route.path, forward, methods=sorted(route.methods or ()))
