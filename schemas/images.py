"""Pictures in a project's library, generated or uploaded."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from schemas.common import Meta, ProjectId, RelativePath, Seed, Sha256, Text, Time, Value, now

Coordinate = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]


class Picture(Value):
    """The facts of one stored file, as events carry them; `bytes` is its size."""

    image_id: UUID
    relative_path: RelativePath  #: the S3 key, and the path under /static/uploads/
    sha256: Sha256
    width: int
    height: int
    bytes: int
    mime_type: str = "image/png"
    seed: Seed | None = None


class ImageSource(StrEnum):
    GENERATED = "generated"
    UPLOADED = "uploaded"


class FocalPoint(Value):
    """Where a crop must stay, as fractions of width and height."""

    x: Coordinate
    y: Coordinate


class Marks(Value):
    """What people put on an image; only the API writes it."""

    focal_point: FocalPoint | None = None
    meta: Meta = Field(default_factory=dict)
    updated_at: Time | None = None
    deleted_at: Time | None = None
    purged_at: Time | None = None  #: a tombstone: facts are gone, the id stays


class Image(Value):
    """The document in `images`."""

    id: UUID = Field(alias="_id")
    project: ProjectId
    source: ImageSource
    picture: Picture
    job_id: UUID | None = None
    run_id: UUID | None = None
    flow_id: UUID | None = None
    model: str | None = None
    created_at: Time = Field(default_factory=now)
    marks: Marks = Field(default_factory=Marks)


class Alias(Value):
    """A name for an image within a project, or within one flow; held by an image or a job."""

    project: ProjectId
    flow_id: UUID | None = None
    name: Text
    image_id: UUID | None = None  #: what it resolves to now
    job_id: UUID | None = None  #: the job whose output will take it
    claimed_at: Time = Field(default_factory=now)
