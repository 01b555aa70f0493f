"""A body -> the wish for its pictures, as the catalogue of today understands it. Pure: no I/O."""

from collections.abc import Sequence

from schemas.jobs import Dialect, GenerationSpec, Reference
from schemas.wire import openai as wire
from services.accounts import Caller
from services.admission import Wish
from services.engine.catalogue import Catalogue, Model, Size
from services.errors import (
    InvalidAspectRatio,
    InvalidRequest,
    InvalidSize,
    ModelNotFound,
    UnknownModel,
)


def wish_of(
    body: wire.ImagesBody,
    caller: Caller,
    catalogue: Catalogue,
    references: Sequence[Reference] = (),
    start: Size | None = None,
) -> Wish:
    """`start` is the size of the picture to edit. Raise `InvalidRequest` or `ModelNotFound`."""
    model = model_named(body.model, catalogue)
    size = _size(body, model, start)
    spec = GenerationSpec(
        prompt=body.prompt,
        model=model.id,
        tier=body.tier,
        width=size.width,
        height=size.height,
        seed=body.seed,
        num_images=body.n or 1,
        references=tuple(references),
    )
    meta = {wire.USER_IN_META: body.user} if body.user else {}
    return Wish(spec=spec, dialect=Dialect.OPENAI, owner=caller.owner, meta=meta)


def model_named(name: str | None, catalogue: Catalogue) -> Model:
    """The default where there is no name, or one of OpenAI's own; raise `ModelNotFound`."""
    try:
        return catalogue.find(name or "default")
    except UnknownModel as error:
        if name and wire.OPENAI_S_OWN.fullmatch(name):
            return catalogue.default
        raise ModelNotFound(f"The model `{name}` does not exist", "/model") from error


def _size(body: wire.ImagesBody, model: Model, start: Size | None) -> Size:
    """As it is asked for, else in the ratio of what is edited, else the model's own."""
    if body.sides is None:
        return model.default_size if start is None else _like(start, model)
    width, height = body.sides
    try:
        model.check_size(width, height)
    except InvalidSize as error:
        raise InvalidRequest(error.message, "/size") from error
    return Size(width=width, height=height)


def _like(start: Size, model: Model) -> Size:
    try:
        return model.size_for(f"{start.width}:{start.height}")
    except InvalidAspectRatio:  # thinner than any model makes
        return model.default_size
