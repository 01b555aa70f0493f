"""A reply of a dialect -> JSON, with what is not known left out."""

from collections.abc import Mapping

from starlette.responses import Response

from schemas.common import Value


class ModelResponse(Response):
    media_type = "application/json"

    def __init__(
        self, reply: Value, status_code: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reply.model_dump_json(exclude_none=True), status_code, headers)
