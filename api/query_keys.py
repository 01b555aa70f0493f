"""`?api_key=` out of every request's query before anybody else sees it, into its state.

uvicorn writes its access log from the same scope, so what is taken out here is in no log.
"""

from typing import Final
from urllib.parse import unquote_plus

from starlette.types import ASGIApp, Receive, Scope, Send

PARAMETER: Final = "api_key"


class QueryKeys:
    """Pure ASGI, outermost: `request.state["query_key"]` is there where the query had one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["query_string"]:
            _take_out(scope)
        await self._app(scope, receive, send)


def _take_out(scope: Scope) -> None:
    """The last of several counts, as it does with every other parameter."""
    kept = []
    for pair in scope["query_string"].decode("latin-1").split("&"):
        name, _, value = pair.partition("=")
        if unquote_plus(name) == PARAMETER:
            scope["state"]["query_key"] = unquote_plus(value)
        else:
            kept.append(pair)
    scope["query_string"] = "&".join(kept).encode("latin-1")
