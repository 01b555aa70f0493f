"""Replies of recipes as JSON, with what there is not as null."""

from collections.abc import Mapping

from starlette.responses import Response

from schemas.common import Value


class RecipesResponse(Response):
    media_type = "application/json"

    def __init__(
        self, reply: Value, status_code: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reply.model_dump_json(), status_code, headers)
