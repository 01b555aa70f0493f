"""What determines an image's pixels, as kept in the file: no ids, no times."""

from typing import Annotated

from pydantic import Field

from schemas.common import Prompt, Seed, Sha256, Value
from schemas.jobs import ReferenceRole, Tier

KEYWORD = "darkroom"  #: the PNG text chunk that holds it


class ManifestReference(Value):
    sha256: Sha256
    role: ReferenceRole


class ManifestLora(Value):
    id: str
    sha256: Sha256
    weight: float


class Manifest(Value):
    """The same manifest on the same device class and library versions gives the same bytes."""

    version: int = 1
    prompt: Prompt  #: as the model saw it, after enhancement
    negative_prompt: Prompt = ""
    model: str
    model_sha256: Sha256
    pipeline: str  #: diffusers' class
    scheduler: str
    tier: Tier
    num_inference_steps: int
    guidance_scale: float
    strength: float | None = None
    width: int
    height: int
    seed: Seed
    initial_seed: Seed | None = None  #: of a draft whose noise it starts from
    rows: Annotated[int, Field(ge=1)]  #: per launch of the denoiser
    references: tuple[ManifestReference, ...] = ()
    loras: tuple[ManifestLora, ...] = ()
    dtype: str
    device: str  #: its class: cpu, or the GPU's name
    threads: int
    libraries: dict[str, str]  #: torch, diffusers, transformers, pillow
