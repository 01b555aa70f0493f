"""Whether the process runs, whether what it stands on answers, and the schemas that it speaks."""

from pathlib import Path
from typing import Final, Literal

from starlette.responses import Response
from starlette.routing import Route

import schemas
from api import problems
from api.replies import ModelResponse
from api.state import AppRequest
from schemas.common import Value
from services.errors import NotFound

SCHEMAS: Final = Path(schemas.__file__).parent / "json"


class Health(Value):
    status: Literal["ok"] = "ok"


async def healthz(_request: AppRequest) -> Response:
    return ModelResponse(Health())


async def readyz(request: AppRequest) -> Response:
    report = await request.state["readiness"].report()
    if report.ready:
        return ModelResponse(report)
    return ModelResponse(report, 503, {"Retry-After": problems.RETRY_AFTER})


async def schema(request: AppRequest) -> Response:
    """What an event's `dataschema` points to."""
    files = {file.name: file for file in SCHEMAS.glob("*.json")}
    if (file := files.get(request.path_params["name"])) is None:
        raise NotFound
    return Response(file.read_bytes(), media_type="application/schema+json")


routes = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/schemas/{name}", schema),
]
