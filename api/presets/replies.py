"""Replies of the presets dialect as JSON: null where it documents null, absent where absent."""

from collections.abc import Mapping

from starlette.responses import Response

from schemas.common import Value


def replied(
    reply: Value, status_code: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """What was not set, and only that, is left out."""
    content = reply.model_dump_json(exclude_unset=True)
    return Response(content, status_code, headers, "application/json")
