"""Every request counted and timed under its route's template; `/metrics` for those nearby."""

from functools import cache
from ipaddress import ip_address
from time import perf_counter
from typing import Final

import structlog
from prometheus_client import REGISTRY, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.requests import traceparent
from api.state import AppRequest
from services.errors import NotFound
from services.metrics import REQUEST_SECONDS

OTHER: Final = "other"  #: one series for all that no route knows: paths are anybody's to invent
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "origin")  #: or from a web page


class Measured:
    """Pure ASGI, outermost; the caller's trace is in every line that is logged meanwhile."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        began = perf_counter()

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if any(name == b"traceparent" for name, _ in scope["headers"]):
                trace = traceparent(Request(scope))
                structlog.contextvars.bind_contextvars(traceparent=trace)
            await self._app(scope, receive, send_on)
        finally:
            route = getattr(scope.get("route"), "path", OTHER)
            method = scope["method"] if scope["method"] in METHODS else OTHER
            _series(method, route, status).observe(perf_counter() - began)


async def metrics(request: AppRequest) -> Response:
    """Not authenticated: whoever may not have it gets the 404 of a path that isn't there."""
    if not _may_read(request):
        raise NotFound
    return Response(generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})


routes = [Route("/metrics", metrics)]


@cache  # there are few, and finding one by its labels takes 4 us
def _series(method: str, route: str, status: int) -> Histogram:
    return REQUEST_SECONDS.labels(method, route, status or OTHER)


def _may_read(request: AppRequest) -> bool:
    """What a proxy on this machine hands on comes from loopback too, but says for whom."""
    wanted = request.state["settings"].metrics.api
    if wanted != "loopback":
        return wanted == "everyone"
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False
