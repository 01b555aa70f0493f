"""Who asks the presets dialect: a key in a header or in the query; a wrong one is 403 there."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from api.authentication import sent_key
from api.state import AppRequest
from schemas.jobs import Job
from services.accounts import Caller
from services.errors import Forbidden, Unauthorized

HEADERS = ("x-api-key", "authorization")


async def authorised(request: AppRequest, *, reading: bool = False) -> Caller:
    """A header counts before the query. Raise `Unauthorized` without a key, else `Forbidden`."""
    text = _key(request)
    with _wrong_is_forbidden():
        caller = await request.state["keys"].authenticate(text)
    caller.require(*(("read",) if reading else ()))
    return caller


async def job_of_caller(request: AppRequest, job_id: UUID) -> Job | None:
    """Raise as `authorised` does, whatever the job; None where the caller may not see it."""
    text = _key(request)
    with _wrong_is_forbidden():
        caller, job = await request.state["polls"].job(text, job_id)
    caller.require("read")
    return job


def _key(request: AppRequest) -> str | None:
    in_header = any(request.headers.get(name) for name in HEADERS)
    queried: str | None = request.scope["state"].get("query_key")
    if not (in_header or queried):
        raise Unauthorized("Missing API key")
    return sent_key(request) if in_header else queried


@contextmanager
def _wrong_is_forbidden() -> Iterator[None]:
    try:
        yield
    except Unauthorized:
        raise Forbidden("Invalid API key") from None
