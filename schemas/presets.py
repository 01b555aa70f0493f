"""Presets: stored, versioned settings of a generation."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from schemas.common import ProjectId, Prompt, Text, Time, Value, now
from schemas.jobs import LoraWeight, Tier

Slug = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]


class Preset(Value):
    """The document in `presets`; a seeded one has no project and belongs to all."""

    project: ProjectId | None = None
    slug: Slug
    version: Annotated[int, Field(ge=1)] = 1
    name: Annotated[Text, Field(min_length=1, max_length=200)]
    prompt: Prompt
    negative_prompt: Prompt = ""
    checkpoint: str = "default"
    tier: Tier = Tier.STANDARD
    width: int | None = None
    height: int | None = None
    guidance_scale: float | None = None
    num_inference_steps: int | None = None
    loras: tuple[LoraWeight, ...] = ()
    cover_image_id: UUID | None = None
    updated_at: Time = Field(default_factory=now)
