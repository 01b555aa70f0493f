"""What the route of uploads says of itself."""

from typing import Final

from api.documents.operations import LIMITED, Answer, Handler, Operation
from api.studio import uploads
from schemas.wire.studio import Data
from schemas.wire.studio_images import ShownImage
from schemas.wire.studio_uploads import UploadForm

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
}
