"""A body -> wishes, as the catalogue of today understands it. Pure: no I/O."""

from collections.abc import Iterator
from contextlib import contextmanager

import uuid_utils.compat

from schemas.jobs import Dialect, GenerationSpec, Lane, Tier
from schemas.wire import blog
from schemas.wire.blog_batches import BatchBody, Workflow
from services.accounts import Caller
from services.admission import Wish
from services.drafts import with_finals
from services.engine.catalogue import Catalogue, Size
from services.errors import DarkroomError, InvalidAspectRatio
from services.settled import settled


def wish_of(body: blog.GenerationBody, caller: Caller, catalogue: Catalogue) -> Wish:
    """Raise `InvalidAspectRatio`; width and height win over a ratio."""
    size = _size(body, catalogue)
    spec = GenerationSpec(
        prompt=body.styled_prompt,
        negative_prompt=body.negative_prompt or "",
        tier=body.quality,
        width=size.width,
        height=size.height,
        seed=body.seed,
        num_images=body.num_images,
    )
    return Wish(
        spec=spec,
        dialect=Dialect.BLOG,
        owner=caller.owner,
        provider=body.provider,
        blog_id=body.blog_id,
        blog_job_id=body.blog_job_id,
        is_draft=body.quality is Tier.DRAFT,
    )


def wishes_of(body: BatchBody, caller: Caller, catalogue: Catalogue) -> tuple[Wish, ...]:
    """One of each image, in their order, and after them all the finals of those that have one.

    Raises `InvalidAspectRatio` or `InvalidRequest`, which points to the image.
    """
    batch = uuid_utils.compat.uuid7()
    wishes = []
    for index, image in enumerate(body.images):
        job = uuid_utils.compat.uuid7()
        with _within(f"/images/{index}"):
            wish = wish_of(body.asked(image), caller, catalogue)
            fixed = settled(wish.spec, catalogue, job)
        told = {"job_id": job, "spec": fixed, "batch_id": batch, "lane": Lane.BATCH}
        wishes.append(wish.model_copy(update=told))
    if body.workflow is Workflow.DRAFT_THEN_FINAL:
        return with_finals(wishes)
    return tuple(wishes)


def _size(body: blog.GenerationBody, catalogue: Catalogue) -> Size:
    try:
        size = catalogue.default.size_for(body.aspect_ratio or "1:1")
    except InvalidAspectRatio as error:
        error.pointer = "/aspect_ratio"
        raise
    if body.width is not None and body.height is not None:
        return Size(width=body.width, height=body.height)
    return size


@contextmanager
def _within(place: str) -> Iterator[None]:
    try:
        yield
    except DarkroomError as error:
        error.pointer = place + error.pointer
        raise
