"""Flows: chains of jobs and images; their aliases are documents of their own."""

from uuid import UUID

from pydantic import Field

from schemas.common import Meta, ProjectId, Time, Value, now


class Activity(Value):
    """What happened in a flow; only the fold writes it."""

    last_completed_at: Time | None = None
    last_image_id: UUID | None = None


class Flow(Value):
    """The document in `flows`."""

    id: UUID = Field(alias="_id")
    project: ProjectId
    meta: Meta = Field(default_factory=dict)
    created_at: Time = Field(default_factory=now)
    updated_at: Time = Field(default_factory=now)
    activity: Activity = Activity()
