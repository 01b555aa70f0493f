"""A caller's limit -> the request counted or refused, and the fields that tell what is left."""

from collections.abc import Sequence

from starlette.datastructures import MutableHeaders

from api.promises import counted, promised
from api.state import AppRequest
from schemas.jobs import Idempotency
from services.accounts import Caller
from services.admission import Admitted, Wish
from services.errors import DarkroomError, RateLimited
from services.rate_limits import Budget


async def count(request: AppRequest, caller: Caller) -> Budget | None:
    """Raise `RateLimited` when the key's window is full; None where nothing limits it."""
    if caller.limit is None or caller.key_id is None:
        return None
    budget = await request.state["rate_limits"].take(caller.key_id, caller.limit)
    request.state["budget"] = budget
    if not budget.window.passed:
        raise RateLimited(f"The limit of {caller.limit} is used up", budget.resets_in)
    return budget


async def submit(
    request: AppRequest, caller: Caller, wishes: Sequence[Wish], idempotency: Idempotency | None
) -> Admitted:
    """Only what makes work counts: neither what is answered again nor what is refused."""
    admission = request.state["admission"]
    if caller.limit and idempotency and (admitted := await admission.replay(idempotency)):
        return admitted
    budget = await count(request, caller)
    try:
        told = promised(request, caller.project, wishes)
        admitted = await admission.submit(caller.project, told, idempotency=idempotency)
    except DarkroomError:
        await _give_back(request, budget)
        raise
    if admitted.replayed:
        await _give_back(request, budget)
    return counted(request, admitted)


def add_fields(budget: Budget, headers: MutableHeaders) -> None:
    """https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-11"""
    window = int(budget.rate.window.total_seconds())
    headers["RateLimit-Policy"] = f'"default";q={budget.rate.quota};w={window}'
    headers["RateLimit"] = f'"default";r={budget.remaining};t={budget.resets_in}'


async def _give_back(request: AppRequest, budget: Budget | None) -> None:
    if budget is not None:
        del request.state["budget"]
        await request.state["rate_limits"].give_back(budget)
