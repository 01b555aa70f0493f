"""Studio's flows: request bodies in, replies out of a `Flow`. Pure: no I/O, no clock."""

from collections.abc import Mapping
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from schemas.common import Meta, Time
from schemas.flows import Flow
from schemas.wire.studio import Camel
from schemas.wire.studio_generations import Name

PATH: Final = "/api/v1/flows/"


class FlowBody(Camel):
    meta: Meta | None = None


class AliasesBody(Camel):
    """Names and the ids of their images; merged with what the flow has."""

    aliases: Annotated[dict[Name, Name], Field(max_length=100)]


class ShownFlow(Camel):
    id: UUID
    aliases: dict[str, UUID]
    meta: Meta
    generation_count: int
    image_count: int
    created_at: Time
    updated_at: Time


class DeletedFlow(Camel):
    id: UUID


def shown(flow: Flow, aliases: Mapping[str, UUID], generations: int, images: int) -> ShownFlow:
    """`aliases`: those that have a picture by now."""
    return ShownFlow(
        id=flow.id,
        aliases=dict(aliases),
        meta=flow.meta,
        generation_count=generations,
        image_count=images,
        created_at=flow.created_at,
        updated_at=flow.updated_at,
    )
