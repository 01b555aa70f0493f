"""What the routes of OpenAI's Images API say of themselves."""

from typing import Final

from api.documents.operations import LIMITED, Answer, Handler, Operation
from api.openai import edits, files, generations, models
from schemas.common import Value
from schemas.wire import openai as wire

TAG: Final = "openai"


def _pictures(summary: str, body: type[Value], body_type: str) -> Operation:
    made = Answer(
        description="The pictures, as URLs or in Base64.",
        model=wire.ImagesReply,
        headers=("Location",),
        sometimes=("Idempotent-Replayed", *LIMITED),
    )
    return Operation(
        tag=TAG,
        summary=summary,
        body=body,
        body_type=body_type,
        headers=("Idempotency-Key", "Prefer"),
        answers={200: made},
        refused=(404, 429),
    )


OPENAI: Final[dict[Handler, Operation]] = {
    generations.generate: _pictures(
        "Make pictures and wait for them, at most 60 s", wire.ImagesBody, "application/json"
    ),
    edits.edit: _pictures(
        "Make pictures from a picture and wait for them, at most 60 s",
        wire.EditForm,
        "multipart/form-data",
    ),
    files.picture: Operation(
        tag=TAG,
        summary="A picture as JPEG or WebP",
        headers=("If-None-Match",),
        answers={
            200: Answer(
                description="The file.", media_type="*/*", headers=("ETag", "Cache-Control")
            ),
            304: Answer(
                description="It has not changed: it never does.", headers=("ETag", "Cache-Control")
            ),
        },
        refused=(404, 410),
        needs_key=False,
    ),
    models.ls: Operation(
        tag=TAG,
        summary="List models",
        answers={200: Answer(description="The catalogue's.", model=wire.ModelList)},
    ),
    models.get: Operation(
        tag=TAG,
        summary="A model, by any of its names",
        answers={200: Answer(description="It.", model=wire.ModelReply)},
        refused=(404,),
    ),
}
