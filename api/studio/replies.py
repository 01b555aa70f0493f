"""Replies of studio as JSON: camelCase, with what is not known as null."""

from collections.abc import Mapping

from starlette.responses import Response

from schemas.wire.studio import Camel, Data


def replied(
    data: Camel, status_code: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return CamelResponse(Data(data=data), status_code, headers)


class CamelResponse(Response):
    media_type = "application/json"

    def __init__(
        self, reply: Camel, status_code: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reply.model_dump_json(by_alias=True), status_code, headers)
