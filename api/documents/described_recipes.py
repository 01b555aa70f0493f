"""What the routes of recipes say of themselves."""

from typing import Final

from api.documents.operations import Answer, Handler, Operation
from api.recipes import jobs, submits
from schemas.common import Value
from schemas.recipes import Recipe
from schemas.wire import recipes as wire

TAG: Final = "recipes"


SUBMITTED: Final = Answer(
    description="The job's handle; with `Prefer: wait`, the job that has ended meanwhile.",
    model=wire.SubmitReply,
    headers=("Location",),
    sometimes=("Idempotent-Replayed",),
)


def _operation(summary: str, answer: Answer, body: type[Value] | None = None) -> Operation:
    return Operation(
        tag=TAG,
        summary=summary,
        body=body,
        headers=("Idempotency-Key", "Prefer") if answer is SUBMITTED else (),
        answers={200: answer},
        refused=(404, 422, 502),
        needs_key=False,
        token=True,
    )


RECIPES: Final[dict[Handler, Operation]] = {
    submits.hero: _operation("Ask for a picture of the dish", SUBMITTED, wire.HeroBody),
    submits.step: _operation("Ask for a picture of one step", SUBMITTED, wire.StepBody),
    submits.batch: _operation("Ask for a picture of every step", SUBMITTED, wire.BatchBody),
    submits.put_recipe: _operation(
        "Say what a recipe's steps are",
        Answer(description="The recipe as it is known from now on.", model=Recipe),
        wire.RecipeBody,
    ),
    jobs.poll: _operation(
        "How far a job is",
        Answer(
            description="The job; of a batch `result_url` is a JSON manifest once all has ended.",
            model=wire.JobReply,
            sometimes=("Retry-After",),
        ),
    ),
}
