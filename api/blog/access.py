"""Who asks the blog dialect; only what makes work counts against a limit, and that elsewhere."""

from api.authentication import authenticate
from api.state import AppRequest
from services.accounts import Caller


async def authorised(request: AppRequest, *, reading: bool = False) -> Caller:
    caller = await authenticate(request)
    caller.require(*(("read",) if reading else ()))
    return caller
