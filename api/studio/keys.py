"""Keys of the caller's project, for keys with every right."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from api.requests import from_caller, idempotency, read_body
from api.state import AppRequest
from api.studio.access import authorised
from api.studio.replies import CamelResponse, replied
from schemas.wire.studio import Page, PageQuery
from schemas.wire.studio_keys import KeyBody, KeyReply, NewKeyReply, RotationBody
from services.issuance import CreatedKey

#: A secret is for the one who asked, and for no cache on the way.
PRIVATE: Final[Mapping[str, str]] = {"Cache-Control": "no-store"}


async def create(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authorised(request)
    with from_caller():
        body = KeyBody.model_validate_json(content or b"{}")
    created = await request.state["keys"].create(
        caller.project,
        body.name,
        limit=body.limit,
        scopes=body.scopes,
        expires_in=timedelta(seconds=body.expires_in) if body.expires_in else None,
        idempotency=idempotency(request, caller, content),
    )
    return _shown(created)


async def rotate(request: AppRequest) -> Response:
    content = await read_body(request)
    caller = await authorised(request)
    with from_caller():
        body = RotationBody.model_validate_json(content or b"{}")
    created = await request.state["keys"].rotate(
        request.path_params["key_id"],
        caller.project,
        overlap=timedelta(seconds=body.overlap_seconds),
        idempotency=idempotency(request, caller, content),
    )
    return _shown(created)


async def ls(request: AppRequest) -> Response:
    caller = await authorised(request)
    with from_caller():
        query = PageQuery.model_validate(dict(request.query_params))
    keys = request.state["keys"]
    found = await keys.ls(caller.project, query.limit, query.offset)
    shown = tuple(KeyReply.of(key) for key in found)
    return CamelResponse(Page.of(shown, await keys.count(caller.project), query))


async def revoke(request: AppRequest) -> Response:
    """The key stops before this answers, on every replica."""
    caller = await authorised(request)
    key = await request.state["keys"].revoke(request.path_params["key_id"], caller.project)
    return replied(KeyReply.of(key))


routes = [
    Route("/api/v1/keys", create, methods=["POST"]),
    Route("/api/v1/keys", ls),
    Route("/api/v1/keys/{key_id}", revoke, methods=["DELETE"]),
    Route("/api/v1/keys/{key_id}/rotate", rotate, methods=["POST"]),
]


def _shown(created: CreatedKey) -> Response:
    reply = NewKeyReply(
        **KeyReply.of(created.stored).model_dump(),
        key=created.key,
        signing_key_id=created.signing_key_id,
        signing_secret=created.signing_secret,
    )
    replayed = {"Idempotent-Replayed": "true"} if created.replayed else {}
    return replied(reply, 201, {**PRIVATE, **replayed})
