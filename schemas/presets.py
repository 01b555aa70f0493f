"""Presets: stored, versioned settings of a generation."""

from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from schemas.common import ProjectId, Prompt, Text, Time, Value, now
from schemas.jobs import GenerationSpec, LoraWeight, PresetVersion, Tier

SLUG: Final = r"^[a-z0-9_-]{1,64}$"
LATEST: Final = 2**31 - 1  #: no preset has more versions

Slug = Annotated[str, Field(pattern=SLUG)]


class Preset(Value):
    """The document in `presets`; a seeded one has no project and belongs to all.

    `preset_versions` keeps every version there was, so that its pictures can be made again.
    """

    project: ProjectId | None = None
    slug: Slug
    version: Annotated[int, Field(ge=1, le=LATEST)] = 1
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

    def says_the_same(self, other: "Preset") -> bool:
        """Whether both make the same pictures under the same name."""
        beside = {"project", "version", "updated_at"}
        return self.model_dump(exclude=beside) == other.model_dump(exclude=beside)

    def applied(self, spec: GenerationSpec) -> GenerationSpec:
        """`spec` as this version says it; a size that it doesn't name stays."""
        size = {"width": self.width, "height": self.height} if self.width and self.height else {}
        return spec.model_copy(
            update={
                "prompt": self.prompt,
                "negative_prompt": self.negative_prompt,
                "model": self.checkpoint,
                "tier": self.tier,
                "guidance_scale": self.guidance_scale,
                "num_inference_steps": self.num_inference_steps,
                "loras": self.loras,
                "preset": PresetVersion(slug=self.slug, version=self.version),
                **size,
            }
        )
