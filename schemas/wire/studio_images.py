"""Studio's images: request bodies in, replies out of an `Image`. Pure: no I/O, no clock."""

from typing import Literal
from uuid import UUID

from schemas.common import Meta, Time
from schemas.images import FocalPoint, Image, ImageSource
from schemas.wire.shared import PICTURES_PATH
from schemas.wire.studio import Camel, PageQuery
from schemas.wire.studio_generations import Name


class ImageQuery(PageQuery):
    """The query of a list of images."""

    flow_id: UUID | None = None
    source: Literal["generated", "uploaded"] | None = None
    alias: Name | None = None
    include_deleted: bool = False


class ResolveQuery(Camel):
    flow_id: Name | None = None


class FoundQuery(Camel):
    """The query of one generation or image."""

    include_deleted: bool = False


class DeleteQuery(Camel):
    permanent: bool = False


class ImageBody(Camel):
    """What shall be different; null takes an alias, a focal point or meta away."""

    alias: Name | None = None
    focal_point: FocalPoint | None = None
    meta: Meta | None = None


class AliasBody(Camel):
    alias: Name | None


class ShownImage(Camel):
    id: UUID
    url: str
    storage_url: str
    relative_path: str
    source: ImageSource
    alias: str | None
    flow_id: UUID | None
    generation_id: UUID | None
    width: int
    height: int
    mime_type: str
    file_size: int  #: bytes
    focal_point: FocalPoint | None
    meta: Meta
    created_at: Time
    updated_at: Time
    deleted_at: Time | None


class Resolution(Camel):
    """The image that an alias means, and where that was said."""

    image: ShownImage
    scope: Literal["technical", "flow", "project"]
    flow_id: UUID | None


class Deleted(Camel):
    id: UUID
    deleted_at: Time


def shown(image: Image, origin: str, alias: str | None) -> ShownImage:
    """`image` with its project alias; URLs start with `origin` ("https://host")."""
    picture, marks = image.picture, image.marks
    url = f"{origin}{PICTURES_PATH}{picture.relative_path}"
    return ShownImage(
        id=image.id,
        url=url,
        storage_url=url,
        relative_path=picture.relative_path,
        source=image.source,
        alias=alias,
        flow_id=image.flow_id,
        generation_id=image.job_id,
        width=picture.width,
        height=picture.height,
        mime_type=picture.mime_type,
        file_size=picture.bytes,
        focal_point=marks.focal_point,
        meta=marks.meta,
        created_at=image.created_at,
        updated_at=marks.updated_at or image.created_at,
        deleted_at=marks.deleted_at,
    )
