"""A prompt -> pictures."""

from starlette.responses import Response
from starlette.routing import Route

from api.authentication import authenticate
from api.openai.answers import answered, submitted
from api.openai.wishes import wish_of
from api.requests import from_caller, idempotency, read_body
from api.state import AppRequest
from schemas.wire import openai as wire


async def generate(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authenticate(request)
    caller.require()
    with from_caller():
        body = wire.ImagesBody.model_validate_json(content)
        wish = wish_of(body, caller, request.state["catalogue"])
    admitted = await submitted(request, caller, wish, idempotency(request, caller, content))
    return await answered(request, admitted, body)


routes = [Route("/v1/images/generations", generate, methods=["POST"])]
