"""What the routes of keys say of themselves."""

from typing import Final

from api.documents.operations import LIMITED, Answer, Handler, Operation
from api.studio import keys
from schemas.wire.studio import Data, Page, PageQuery
from schemas.wire.studio_keys import KeyBody, KeyReply, NewKeyReply, RotationBody

TAG: Final = "studio"
SHOWN_ONCE: Final = Answer(
    description="The key and its signing secret, shown this once.",
    model=Data[NewKeyReply],
    headers=("Cache-Control",),
    sometimes=("Idempotent-Replayed", *LIMITED),
)

KEYS: Final[dict[Handler, Operation]] = {
    keys.create: Operation(
        tag=TAG,
        summary="Make a key for the project",
        body=KeyBody,
        headers=("Idempotency-Key",),
        answers={201: SHOWN_ONCE},
        refused=(429,),
    ),
    keys.rotate: Operation(
        tag=TAG,
        summary="Put a new key in the place of this one, which ends at once or later",
        body=RotationBody,
        headers=("Idempotency-Key",),
        answers={201: SHOWN_ONCE},
        refused=(404, 429),
    ),
    keys.ls: Operation(
        tag=TAG,
        summary="The project's keys",
        query=PageQuery,
        answers={200: Answer(description="Them.", model=Page[KeyReply], sometimes=LIMITED)},
        refused=(422, 429),
    ),
    keys.revoke: Operation(
        tag=TAG,
        summary="Stop a key at once and for good",
        answers={200: Answer(description="It.", model=Data[KeyReply], sometimes=LIMITED)},
        refused=(404, 429),
    ),
}
