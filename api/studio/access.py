"""Who asks studio, counted: there every request with a key counts against its limit."""

from api import limits
from api.authentication import authenticate
from api.state import AppRequest
from schemas.keys import Scope
from services.accounts import Caller


async def authorised(request: AppRequest, *scopes: Scope) -> Caller:
    """Raise `Unauthorized`, `RateLimited`, or `Forbidden` for a key without any of `scopes`."""
    caller = await authenticate(request)
    await limits.count(request, caller)
    caller.require(*scopes)
    return caller
