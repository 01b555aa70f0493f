"""What a project has -> replies, with the pictures, aliases and counts that belong to them."""

from collections.abc import Sequence

from api.requests import origin
from api.state import AppRequest
from schemas.images import Image
from schemas.jobs import Job
from schemas.wire import studio_flows, studio_generations, studio_images
from services.library.flows import FlowView


async def generations(
    request: AppRequest, jobs: Sequence[Job]
) -> tuple[studio_generations.Generation, ...]:
    """Of one project, in their order; so is what follows."""
    if not jobs:
        return ()
    around = await request.state["library"].relations.of(jobs[0].project, jobs)
    base = origin(request)
    return tuple(studio_generations.generation(job, around, base) for job in jobs)


async def images(
    request: AppRequest, images: Sequence[Image]
) -> tuple[studio_images.ShownImage, ...]:
    if not images:
        return ()
    aliases = await request.state["library"].leads.of_images(images[0].project, images)
    base = origin(request)
    return tuple(studio_images.shown(image, base, aliases.get(image.id)) for image in images)


async def flows(
    request: AppRequest, project: str, views: Sequence[FlowView]
) -> tuple[studio_flows.ShownFlow, ...]:
    ids = [view.flow.id for view in views]
    aliases = await request.state["library"].leads.of_flows(project, ids)
    return tuple(
        studio_flows.shown(view.flow, aliases[view.flow.id], view.generations, view.images)
        for view in views
    )
