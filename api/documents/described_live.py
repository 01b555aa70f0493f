"""What the routes of live pictures say of themselves."""

from typing import Final

from api.documents.operations import LIMITED, Answer, Handler, Operation
from api.studio import live
from schemas.wire.studio import Data, Page, PageQuery
from schemas.wire.studio_live import LiveQuery, LiveUrlBody, LiveUrlReply, NewLiveUrl

TAG: Final = "studio"
PICTURE: Final = ("ETag", "Cache-Control", "Accept-Ranges", "X-Cache-Status", "X-Image-Id")
SOMETIMES: Final = ("X-Generation-Id", "X-Cache-Hit-Count", "Vary", *LIMITED)

LIVE: Final[dict[Handler, Operation]] = {
    live.LIVE: Operation(
        tag=TAG,
        summary="The picture that this URL stands for, made at the first request",
        query=LiveQuery,
        headers=("If-None-Match", "Range", "Prefer"),
        answers={
            200: Answer(
                description="The file.", media_type="*/*", headers=PICTURE, sometimes=SOMETIMES
            ),
            206: Answer(
                description="A part of it.",
                media_type="*/*",
                headers=(*PICTURE, "Content-Range"),
                sometimes=SOMETIMES,
            ),
            304: Answer(description="It has not changed.", headers=PICTURE, sometimes=SOMETIMES),
        },
        refused=(416, 422, 429),
    ),
    live.create_url: Operation(
        tag=TAG,
        summary="Make a URL that asks for live pictures without a key",
        body=LiveUrlBody,
        headers=("Idempotency-Key",),
        answers={
            201: Answer(
                description="The URL.",
                model=Data[NewLiveUrl],
                sometimes=("Idempotent-Replayed", *LIMITED),
            )
        },
        refused=(429,),
    ),
    live.ls_urls: Operation(
        tag=TAG,
        summary="The project's URLs of live pictures, newest first",
        query=PageQuery,
        answers={
            200: Answer(
                description="One page of them.", model=Page[LiveUrlReply], sometimes=LIMITED
            )
        },
        refused=(422, 429),
    ),
    live.revoke_url: Operation(
        tag=TAG,
        summary="Stop a URL at once and for good",
        answers={200: Answer(description="It.", model=Data[LiveUrlReply], sometimes=LIMITED)},
        refused=(404, 429),
    ),
}
