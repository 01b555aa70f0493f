"""`/openapi.json`, `/asyncapi.json`, and pages that show them without asking anybody else."""

import json
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from api.documents import asyncapi, events_page, openapi
from api.documents.described import OPERATIONS
from api.state import AppRequest
from services.errors import NotFound


def _folder(package: str) -> Path:
    found = find_spec(package)
    assert found is not None, f"{package} is in requirements/api.txt"
    return Path(found.origin or "").parent


OWN: Final = Path(__file__).parent / "static"
#: Swagger UI. Looked up, not imported: importing offapi reads nine megabytes.
SWAGGER: Final = _folder("offapi")
ASSETS: Final = {
    "start.js": OWN / "start.js",
    "events.css": OWN / "events.css",
    "swagger.css": SWAGGER / "swagger_style.css",
    "swagger.js": SWAGGER / "swagger_bundle.js",
}
POLICY: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
KEPT: Final = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}


async def openapi_json(request: AppRequest) -> Response:
    return Response(_openapi(request.app), media_type="application/json")


async def asyncapi_json(_request: AppRequest) -> Response:
    return Response(_asyncapi(), media_type="application/json")


async def docs(_request: AppRequest) -> Response:
    return FileResponse(OWN / "docs.html", headers=POLICY)


async def events(_request: AppRequest) -> Response:
    page = events_page.page(json.loads(_asyncapi()))
    return Response(page, media_type="text/html; charset=utf-8", headers=POLICY)


async def asset(request: AppRequest) -> Response:
    if (file := ASSETS.get(request.path_params["name"])) is None:
        raise NotFound
    return FileResponse(file, headers=KEPT)


routes = [
    Route("/openapi.json", openapi_json),
    Route("/asyncapi.json", asyncapi_json),
    Route("/docs", docs),
    Route("/docs/events", events),
    Route("/docs/{name}", asset),
]


@lru_cache(maxsize=1)
def _openapi(app: Starlette) -> bytes:
    return json.dumps(openapi.document(app.routes, OPERATIONS)).encode()


@lru_cache(maxsize=1)
def _asyncapi() -> bytes:
    return json.dumps(asyncapi.document()).encode()
