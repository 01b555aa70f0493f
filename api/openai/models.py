"""The catalogue's models, as OpenAI lists its own."""

from starlette.responses import Response
from starlette.routing import Route

from api.authentication import authenticate
from api.openai.wishes import model_named
from api.replies import ModelResponse
from api.state import AppRequest
from schemas.wire import openai as wire


async def ls(request: AppRequest) -> Response:
    (await authenticate(request)).require("read")
    models = request.state["catalogue"].models
    return ModelResponse(wire.ModelList(data=tuple(wire.ModelReply(id=each.id) for each in models)))


async def get(request: AppRequest) -> Response:
    """Under any name that a request may use, also one of OpenAI's own."""
    (await authenticate(request)).require("read")
    model = model_named(request.path_params["model"], request.state["catalogue"])
    return ModelResponse(wire.ModelReply(id=model.id))


routes = [
    Route("/v1/models", ls, name="models"),
    Route("/v1/models/{model}", get, name="model"),
]
