"""Around every request: a deadline for the answer, and an answer whatever was raised."""

import asyncio
from datetime import timedelta

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import limits, problems
from api.state import AppRequest

log = structlog.get_logger()


class Edge:
    """Pure ASGI. The deadline ends with a first piece of several: a stream may last."""

    def __init__(self, app: ASGIApp, answer_within: timedelta) -> None:
        self._app = app
        self._seconds = answer_within.total_seconds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        deadline = asyncio.timeout(self._seconds)
        state = scope["state"]
        state["deadline"] = deadline

        async def send_on(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start" and (budget := state.get("budget")):
                limits.add_fields(budget, MutableHeaders(scope=message))
            if message.get("more_body", False) and not deadline.expired():
                deadline.reschedule(None)
            await send(message)

        try:
            async with deadline:
                await self._app(scope, receive, send_on)
        except ClientDisconnect:
            log.info("client_left", path=scope["path"])
        except Exception as error:  # the one place where HTTP's unforeseen ends: 503, logged
            if started:
                raise
            await problems.answer(Request(scope), error)(scope, receive, send)


def extend(request: AppRequest, seconds: float) -> None:
    """Let this request take `seconds` from now until its answer begins."""
    request.state["deadline"].reschedule(asyncio.get_running_loop().time() + seconds)
