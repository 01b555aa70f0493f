"""Headers -> the `Caller` that they stand for, checked at every request."""

from uuid import UUID

from api.requests import from_caller
from api.state import AppRequest
from schemas.jobs import Job
from services.accounts import Caller
from services.errors import InvalidToken
from services.tokens import OnBehalfOf, is_jwt


async def authenticate(request: AppRequest) -> Caller:
    """`X-API-Key: <key>` or `Authorization: Bearer <key>`; raise `Unauthorized`."""
    return await request.state["keys"].authenticate(sent_key(request))


async def authenticate_user(request: AppRequest) -> Caller:
    """`Authorization: Bearer <JWT>`; raise `InvalidToken`."""
    return await request.state["tokens"].user(_bearer(request) or "")


async def authenticate_user_or_service(request: AppRequest) -> Caller:
    """As `authenticate_user`, or `Bearer <IMAGE_GEN_TOKEN>` with `X-On-Behalf-Of`."""
    tokens, text = request.state["tokens"], _bearer(request)
    if text is None or not tokens.is_service(text):
        return await authenticate_user(request)
    asked = {"owner": "x-on-behalf-of", "project": "x-on-behalf-of-project"}
    with from_caller():
        return tokens.serves(
            OnBehalfOf.model_validate({name: _utf8(request, asked[name]) for name in asked})
        )


async def authenticate_key_or_user(request: AppRequest) -> Caller:
    """`X-API-Key: <key>`, or `Authorization: Bearer` with either; raise `Unauthorized`."""
    return await (authenticate_user(request) if _has_jwt(request) else authenticate(request))


async def authenticate_for_job(request: AppRequest, job_id: UUID) -> tuple[Caller, Job | None]:
    """As `authenticate_key_or_user`, with the job where it is one that the caller may see."""
    if not _has_jwt(request):
        return await request.state["polls"].job(sent_key(request), job_id)
    caller = await authenticate_user(request)
    return caller, await request.state["read_model"].job(caller.project, job_id, caller.owner)


def sent_key(request: AppRequest) -> str | None:
    """What `authenticate` takes for the key."""
    key = request.headers.get("x-api-key")
    return _bearer(request) if key is None else key


def _has_jwt(request: AppRequest) -> bool:
    return "x-api-key" not in request.headers and is_jwt(_bearer(request) or "")


def _bearer(request: AppRequest) -> str | None:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def _utf8(request: AppRequest, name: str) -> str | None:
    """HTTP's headers are bytes, which Starlette takes for Latin-1."""
    value = request.headers.get(name)
    try:
        return None if value is None else value.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise InvalidToken from None
