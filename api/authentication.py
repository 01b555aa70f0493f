"""Headers -> the `Caller` that they stand for, checked against MongoDB at every request."""

from api.state import AppRequest
from services.accounts import Caller


async def authenticate(request: AppRequest) -> Caller:
    """`X-API-Key: <key>` or `Authorization: Bearer <key>`; raise `Unauthorized`."""
    key = request.headers.get("x-api-key")
    if key is None:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        key = credentials.strip() if scheme.lower() == "bearer" else None
    return await request.state["keys"].authenticate(key)
