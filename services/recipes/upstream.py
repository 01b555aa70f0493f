"""The instance that makes the pictures of this one's users: requests out, answers back."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, Self

import httpx2
import structlog

from services.accounts import Caller
from services.errors import UpstreamUnreachable
from services.loopback import is_loopback

log = structlog.get_logger()

CONNECT_WITHIN: Final = 2.0  #: seconds
#: Seconds, beside what the caller is ready to wait: there, an outage is answered within four.
ANSWER_WITHIN: Final = 4.5


class Upstream:
    def __init__(self, http: httpx2.AsyncClient, url: str, token: str) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._token = token

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str | None, token: str) -> AsyncIterator[Self | None]:
        """None where no URL is set."""
        if url is None:
            yield None
            return
        async with httpx2.AsyncClient(
            timeout=httpx2.Timeout(None, connect=CONNECT_WITHIN),
            trust_env=not is_loopback(url),  # a proxy can't reach our loopback
        ) as http:
            yield cls(http, url, token)

    async def ask(  # noqa: PLR0913 - what a request is
        self,
        caller: Caller,
        method: str,
        target: str,
        *,
        content: bytes,
        headers: Mapping[str, str],
        wait: float,
    ) -> httpx2.Response:
        """The answer for `caller`, whatever its status. Raise `UpstreamUnreachable`."""
        ours = {
            "authorization": f"Bearer {self._token}",
            "x-on-behalf-of": caller.owner or "",
            "x-on-behalf-of-project": caller.project,
        }
        sent = [(name.encode(), value.encode()) for name, value in {**headers, **ours}.items()]
        try:
            async with asyncio.timeout(ANSWER_WITHIN + wait):
                answer = await self._http.request(
                    method, self._url + target, content=content, headers=sent
                )
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            log.warning("upstream_unreachable", error=type(error).__name__)
            raise UpstreamUnreachable from error
        if answer.status_code == httpx2.codes.UNAUTHORIZED:  # it is us whom it does not know
            log.error("upstream_refuses_token")
            raise UpstreamUnreachable("Image generation service refuses this one's token")
        return answer
