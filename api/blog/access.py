"""Who asks the blog dialect; only what makes work counts against a limit, and that elsewhere."""

from api.authentication import authenticate_key_or_user
from api.state import AppRequest
from services.accounts import Caller


async def authorised(request: AppRequest, *, reading: bool = False) -> Caller:
    caller = await authenticate_key_or_user(request)
    caller.require(*(("read",) if reading else ()))
    return caller
