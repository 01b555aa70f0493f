"""What the routes of presets say of themselves."""

from typing import Final

from api.documents.operations import LIMITED, Answer, Handler, Operation
from api.presets import generations, stored
from schemas.common import Value
from schemas.wire import presets as wire

TAG: Final = "presets"
SUBMITTED: Final = ("Idempotent-Replayed", *LIMITED)


def _stored(
    summary: str, told: str, refused: tuple[int, ...], query: type[Value] | None = None
) -> Operation:
    return Operation(
        tag=TAG,
        summary=summary,
        query=query,
        answers={200: Answer(description=told, model=wire.ShownPreset)},
        refused=refused,
        query_key=True,
    )


PRESETS: Final[dict[Handler, Operation]] = {
    stored.ls: Operation(
        tag=TAG,
        summary="List presets by slug, those of all projects too",
        answers={200: Answer(description="All of them.", model=wire.PresetList)},
        query_key=True,
    ),
    stored.get: _stored("A preset, or an earlier version", "It.", (404, 422), wire.VersionQuery),
    stored.delete: _stored(
        "Delete a preset of the project's own; its versions stay", "As it was.", (404, 422)
    ),
    stored.save: Operation(
        tag=TAG,
        summary="Save a preset as its next version",
        body=wire.PresetBody,
        answers={
            200: Answer(description="Another version, or the same.", model=wire.ShownPreset),
            201: Answer(description="The project had none.", model=wire.ShownPreset),
        },
        query_key=True,
    ),
    generations.generate: Operation(
        tag=TAG,
        summary="Ask for pictures with a preset",
        body=wire.GenerateBody,
        body_required=False,
        headers=("Idempotency-Key", "Prefer"),
        answers={
            200: Answer(
                description="With `Prefer: wait`, the jobs that have ended meanwhile.",
                model=wire.JobReplies,
                headers=("Location",),
                sometimes=SUBMITTED,
            ),
            202: Answer(
                description="All of the jobs are accepted.",
                model=wire.QueuedJobs,
                headers=("Location",),
                sometimes=SUBMITTED,
            ),
        },
        refused=(404, 429),
        query_key=True,
    ),
    generations.poll: Operation(
        tag=TAG,
        summary="How far a job is",
        answers={
            200: Answer(
                description="The job; `Retry-After` until it has ended.",
                model=wire.JobReply,
                sometimes=("Retry-After",),
            )
        },
        refused=(404, 422),
        query_key=True,
    ),
}
