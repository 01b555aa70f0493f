"""What the routes about what is out of date say of themselves."""

from typing import Final

from api.documents.operations import LIMITED, Answer, Handler, Operation
from api.studio import stale
from schemas.wire.studio import Data
from schemas.wire.studio_stale import RefreshBody, RefreshReply, StaleReply

TAG: Final = "flows"

STALE: Final[dict[Handler, Operation]] = {
    stale.stale: Operation(
        tag=TAG,
        summary="Which of a flow's pictures are out of date, and why",
        answers={
            200: Answer(
                description="Each after what it is made from.",
                model=Data[StaleReply],
                sometimes=LIMITED,
            )
        },
        refused=(404, 429),
    ),
    stale.refresh: Operation(
        tag=TAG,
        summary="Make what is out of date again, or only say what that costs",
        body=RefreshBody,
        body_required=False,
        headers=("Idempotency-Key",),
        answers={
            200: Answer(
                description="What was begun, or would be.",
                model=Data[RefreshReply],
                sometimes=("Idempotent-Replayed", *LIMITED),
            )
        },
        refused=(404, 429),
    ),
}
