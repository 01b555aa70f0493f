"""What the routes of uploads and verification say of themselves."""

from typing import Final

from api.documents.operations import LIMITED, Answer, Handler, Operation
from api.studio import uploads, verification
from schemas.wire.studio import Data
from schemas.wire.studio_images import ShownImage
from schemas.wire.studio_uploads import UploadForm
from schemas.wire.studio_verification import ShownVerification

UPLOADS: Final[dict[Handler, Operation]] = {
    uploads.upload: Operation(
        tag="images",
        summary="Bring a picture: PNG, JPEG or WebP, at most 5 MiB",
        body=UploadForm,
        body_type="multipart/form-data",
        headers=("Idempotency-Key",),
        answers={
            201: Answer(
                description="The image, upright and without metadata.",
                model=Data[ShownImage],
                sometimes=("Idempotent-Replayed", *LIMITED),
            )
        },
        refused=(404, 429),
    ),
    verification.verify: Operation(
        tag="images",
        summary="Make a generated picture again, and compare",
        headers=("Idempotency-Key",),
        answers={
            200: Answer(
                description="How alike they are, and what isn't as it was when they are not.",
                model=Data[ShownVerification],
                sometimes=("Idempotent-Replayed", *LIMITED),
            )
        },
        refused=(404, 422, 429),
    ),
}
