"""Who asks the presets dialect: a key in a header or in the query; a wrong one is 403 there."""

from api.authentication import authenticate
from api.state import AppRequest
from services.accounts import Caller
from services.errors import Forbidden, Unauthorized

HEADERS = ("x-api-key", "authorization")


async def authorised(request: AppRequest, *, reading: bool = False) -> Caller:
    """A header counts before the query. Raise `Unauthorized` without a key, else `Forbidden`."""
    in_header = any(request.headers.get(name) for name in HEADERS)
    queried: str | None = request.scope["state"].get("query_key")
    if not (in_header or queried):
        raise Unauthorized("Missing API key")
    try:
        if in_header:
            caller = await authenticate(request)
        else:
            caller = await request.state["keys"].authenticate(queried)
    except Unauthorized:
        raise Forbidden("Invalid API key") from None
    caller.require(*(("read",) if reading else ()))
    return caller
