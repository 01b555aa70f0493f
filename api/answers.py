"""A POST that makes no job -> its first answer again where its Idempotency-Key asks for that."""

from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

from starlette.responses import Response

from api.requests import idempotency
from api.state import AppRequest
from services.accounts import Caller
from services.answers import Answer

KEPT = ("content-type", "location")


async def answered_once(
    request: AppRequest,
    caller: Caller,
    content: bytes,
    make: Callable[[UUID], Awaitable[Response]],
) -> Response:
    """`make` is given the id for what it makes; see `services.answers`."""
    remembered = idempotency(request, caller, content)
    if remembered is None:
        return await make(uuid4())

    async def made(thing: UUID) -> Answer:
        response = await make(thing)
        headers = {name: response.headers[name] for name in KEPT if name in response.headers}
        return Answer(status_code=response.status_code, headers=headers, body=bytes(response.body))

    answer, replayed = await request.state["answers"].once(remembered, made)
    again = {"Idempotent-Replayed": "true"} if replayed else {}
    return Response(answer.body, answer.status_code, answer.headers | again)
