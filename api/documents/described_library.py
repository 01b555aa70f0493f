"""What the routes of generations, flows and images say of themselves."""

from typing import Final

from api.documents.operations import LIMITED, Answer, Handler, Operation
from api.studio import flows, generations, images
from schemas.common import Value
from schemas.wire import studio_flows, studio_generations, studio_images
from schemas.wire.studio import Data, Page, PageQuery

ONCE: Final = ("Idempotency-Key",)
SUBMIT: Final = (*ONCE, "Prefer")
SUBMITTED: Final = ("Idempotent-Replayed", *LIMITED)
GENERATION: Final = Data[studio_generations.Generation]
FLOW: Final = Data[studio_flows.ShownFlow]
IMAGE: Final = Data[studio_images.ShownImage]


def _answer(model: type[Value], description: str) -> dict[int, Answer]:
    return {200: Answer(description=description, model=model, sometimes=LIMITED)}


def _operation(  # noqa: PLR0913 - what a route says of itself
    tag: str,
    summary: str,
    answers: dict[int, Answer],
    *refused: int,
    body: type[Value] | None = None,
    query: type[Value] | None = None,
    body_required: bool = True,
    headers: tuple[str, ...] = (),
) -> Operation:
    """Every request with a key counts, so every one may be one too many."""
    return Operation(
        tag=tag,
        summary=summary,
        answers=answers,
        body=body,
        body_required=body_required,
        query=query,
        headers=headers,
        refused=(429, *((422,) if query else ()), *refused),
    )


GENERATIONS: Final[dict[Handler, Operation]] = {
    generations.create: _operation(
        "generations",
        "Ask for a picture",
        {
            201: Answer(
                description="The generation, still pending.",
                model=GENERATION,
                headers=("Location",),
                sometimes=SUBMITTED,
            ),
            200: Answer(
                description="With `Prefer: wait`, the generation that has ended meanwhile.",
                model=GENERATION,
                headers=("Location",),
                sometimes=SUBMITTED,
            ),
        },
        404,
        body=studio_generations.SubmitBody,
        headers=SUBMIT,
    ),
    generations.ls: _operation(
        "generations",
        "List generations, newest first",
        _answer(Page[studio_generations.Generation], "One page of them."),
        query=studio_generations.GenerationQuery,
    ),
    generations.get: _operation(
        "generations",
        "How far a generation is, and its picture",
        {
            200: Answer(
                description="The generation; `Retry-After` until it has ended.",
                model=GENERATION,
                sometimes=("Retry-After", *LIMITED),
            )
        },
        404,
        query=studio_images.FoundQuery,
    ),
    generations.retry: _operation(
        "generations",
        "Make the picture anew under the same id; the last good one stays until then",
        {
            200: Answer(
                description="The generation, pending again.",
                model=GENERATION,
                headers=("Location",),
                sometimes=SUBMITTED,
            )
        },
        404,
        body=studio_generations.Overrides,
        body_required=False,
        headers=SUBMIT,
    ),
    generations.delete: _operation(
        "generations",
        "Delete a generation and its output, softly unless `permanent`",
        _answer(Data[studio_images.Deleted], "When it was."),
        404,
        query=studio_images.DeleteQuery,
    ),
}

FLOWS: Final[dict[Handler, Operation]] = {
    flows.create: _operation(
        "flows",
        "Begin a flow",
        {
            201: Answer(
                description="The flow.", model=FLOW, headers=("Location",), sometimes=SUBMITTED
            )
        },
        body=studio_flows.FlowBody,
        body_required=False,
        headers=ONCE,
    ),
    flows.ls: _operation(
        "flows",
        "List flows, newest first",
        _answer(Page[studio_flows.ShownFlow], "One page of them."),
        query=PageQuery,
    ),
    flows.get: _operation(
        "flows", "A flow, its aliases and counts", _answer(FLOW, "The flow."), 404
    ),
    flows.generations: _operation(
        "flows",
        "List a flow's generations, newest first",
        _answer(Page[studio_generations.Generation], "One page of them."),
        404,
        query=PageQuery,
    ),
    flows.images: _operation(
        "flows",
        "List a flow's images, newest first",
        _answer(Page[studio_images.ShownImage], "One page of them."),
        404,
        query=PageQuery,
    ),
    flows.put_aliases: _operation(
        "flows",
        "Give a flow aliases; they are merged with those that it has",
        _answer(FLOW, "The flow."),
        404,
        body=studio_flows.AliasesBody,
    ),
    flows.remove_alias: _operation(
        "flows", "Take an alias from a flow", _answer(FLOW, "The flow, without it."), 404
    ),
    flows.delete: _operation(
        "flows",
        "Delete a flow; its generations and images stay",
        _answer(Data[studio_flows.DeletedFlow], "Its id."),
        404,
    ),
}

IMAGES: Final[dict[Handler, Operation]] = {
    images.ls: _operation(
        "images",
        "List images, newest first",
        _answer(Page[studio_images.ShownImage], "One page of them."),
        query=studio_images.ImageQuery,
    ),
    images.resolve: _operation(
        "images",
        "The image that an alias means: technical, then the flow's, then the project's",
        _answer(Data[studio_images.Resolution], "The image, and where that was said."),
        404,
        query=studio_images.ResolveQuery,
    ),
    images.get: _operation(
        "images", "An image", _answer(IMAGE, "The image."), 404, query=studio_images.FoundQuery
    ),
    images.put: _operation(
        "images",
        "Change an image's alias, focal point or meta",
        _answer(IMAGE, "The image."),
        404,
        body=studio_images.ImageBody,
    ),
    images.put_alias: _operation(
        "images",
        "Give an image its alias in the project",
        _answer(IMAGE, "The image."),
        404,
        body=studio_images.AliasBody,
    ),
    images.remove_alias: _operation(
        "images", "Take an image's alias", _answer(IMAGE, "The image, without it."), 404
    ),
    images.delete: _operation(
        "images",
        "Delete an image, softly unless `permanent`",
        _answer(Data[studio_images.Deleted], "When it was."),
        404,
        query=studio_images.DeleteQuery,
    ),
}

LIBRARY: Final[dict[Handler, Operation]] = {**GENERATIONS, **FLOWS, **IMAGES}
