"""What happens in a project's library; `data.sequence` rises by one within a project."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.cloudevents import CloudEvent
from schemas.common import Sha256, Time, Value
from schemas.images import FocalPoint, Picture


class LibraryData(Value):
    sequence: Annotated[int, Field(ge=1)]  #: readers drop what they have seen


class ImageUploadedData(LibraryData):
    picture: Picture
    flow_id: UUID | None = None


class ImageMarkedData(LibraryData):
    """Marks as they are now; `meta` is free text, so only its hash travels."""

    image_id: UUID
    focal_point: FocalPoint | None = None
    meta_sha256: Sha256 | None = None
    deleted_at: Time | None = None


class ImagePurgedData(LibraryData):
    image_id: UUID


class GenerationMarkedData(LibraryData):
    job_id: UUID
    deleted_at: Time | None = None


class GenerationPurgedData(LibraryData):
    job_id: UUID


class AliasAssignedData(LibraryData):
    name: str
    flow_id: UUID | None = None
    image_id: UUID | None = None
    job_id: UUID | None = None


class AliasRemovedData(LibraryData):
    name: str
    flow_id: UUID | None = None


class FlowData(LibraryData):
    flow_id: UUID


class PresetData(LibraryData):
    slug: str
    version: int


class KeyData(LibraryData):
    """No secret, no name: only which key, and when it stops (of a revoked one, too)."""

    key_id: str
    scopes: tuple[str, ...] = ()
    expires_at: Time | None = None


class ImageUploaded(CloudEvent):
    type: Literal["dev.darkroom.image.uploaded.v1"] = "dev.darkroom.image.uploaded.v1"
    data: ImageUploadedData


class ImageMarked(CloudEvent):
    type: Literal["dev.darkroom.image.marked.v1"] = "dev.darkroom.image.marked.v1"
    data: ImageMarkedData


class ImagePurged(CloudEvent):
    type: Literal["dev.darkroom.image.purged.v1"] = "dev.darkroom.image.purged.v1"
    data: ImagePurgedData


class GenerationMarked(CloudEvent):
    type: Literal["dev.darkroom.generation.marked.v1"] = "dev.darkroom.generation.marked.v1"
    data: GenerationMarkedData


class GenerationPurged(CloudEvent):
    type: Literal["dev.darkroom.generation.purged.v1"] = "dev.darkroom.generation.purged.v1"
    data: GenerationPurgedData


class AliasAssigned(CloudEvent):
    type: Literal["dev.darkroom.alias.assigned.v1"] = "dev.darkroom.alias.assigned.v1"
    data: AliasAssignedData


class AliasRemoved(CloudEvent):
    type: Literal["dev.darkroom.alias.removed.v1"] = "dev.darkroom.alias.removed.v1"
    data: AliasRemovedData


class FlowCreated(CloudEvent):
    type: Literal["dev.darkroom.flow.created.v1"] = "dev.darkroom.flow.created.v1"
    data: FlowData


class FlowDeleted(CloudEvent):
    type: Literal["dev.darkroom.flow.deleted.v1"] = "dev.darkroom.flow.deleted.v1"
    data: FlowData


class PresetSaved(CloudEvent):
    type: Literal["dev.darkroom.preset.saved.v1"] = "dev.darkroom.preset.saved.v1"
    data: PresetData


class PresetDeleted(CloudEvent):
    type: Literal["dev.darkroom.preset.deleted.v1"] = "dev.darkroom.preset.deleted.v1"
    data: PresetData


class KeyCreated(CloudEvent):
    type: Literal["dev.darkroom.key.created.v1"] = "dev.darkroom.key.created.v1"
    data: KeyData


class KeyRevoked(CloudEvent):
    type: Literal["dev.darkroom.key.revoked.v1"] = "dev.darkroom.key.revoked.v1"
    data: KeyData


LibraryEvent = Annotated[
    ImageUploaded
    | ImageMarked
    | ImagePurged
    | GenerationMarked
    | GenerationPurged
    | AliasAssigned
    | AliasRemoved
    | FlowCreated
    | FlowDeleted
    | PresetSaved
    | PresetDeleted
    | KeyCreated
    | KeyRevoked,
    Field(discriminator="type"),
]

LIBRARY_EVENTS: tuple[type[CloudEvent], ...] = (
    ImageUploaded,
    ImageMarked,
    ImagePurged,
    GenerationMarked,
    GenerationPurged,
    AliasAssigned,
    AliasRemoved,
    FlowCreated,
    FlowDeleted,
    PresetSaved,
    PresetDeleted,
    KeyCreated,
    KeyRevoked,
)
