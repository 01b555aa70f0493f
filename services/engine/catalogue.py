"""models.yaml -> `Catalogue`: which models there are, their tiers, sizes and prices. No torch."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from schemas.common import Sha256
from schemas.jobs import Tier
from services.engine.expansion import Enhancement
from services.engine.sizes import Entry, Size, Sizes
from services.errors import InvalidCatalogue, InvalidSpec, UnknownModel

__all__ = ["Catalogue", "DeviceClass", "Lora", "Model", "Size", "TierSettings"]

ModelId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
DeviceClass = Literal["cpu", "cuda", "mps"]
Dtype = Literal["float32", "float16", "bfloat16"]


class TierSettings(Entry):
    num_inference_steps: Annotated[int, Field(ge=1, le=500)]
    guidance_scale: Annotated[float, Field(ge=0, le=50)]
    scheduler: str  #: diffusers' class, made from the model's own scheduler config


class Lora(Entry):
    id: ModelId
    source: str  #: a file or folder relative to the catalogue's file, or a hub id
    revision: str | None = None  #: of a hub id
    sha256: Sha256 | None = None  #: of the file, checked at loading


class Model(Entry):
    id: ModelId
    aliases: tuple[ModelId, ...] = ()
    source: str  #: a folder relative to the catalogue's file, or a hub id
    revision: str | None = None  #: of a hub id
    variant: str | None = None  #: as in `model.<variant>.safetensors`
    sha256: Sha256 | None = None  #: of the folder's files, checked at loading; see `digest`
    dtype: dict[DeviceClass, Dtype] = Field(default_factory=dict)  #: else float32
    sizes: Sizes
    tiers: dict[Tier, TierSettings]
    loras: tuple[Lora, ...] = ()
    rows: dict[DeviceClass, int] = Field(default_factory=dict)  #: a launch, where pictures share it
    enhancement: Enhancement | None = None  #: of prompts; none: rules leave them as they are
    price_per_gpu_second: Annotated[float, Field(ge=0)] = 0.0  #: in the catalogue's currency

    @model_validator(mode="after")
    def _has_every_tier(self) -> Self:
        if missing := set(Tier) - set(self.tiers):
            raise ValueError(f"has no tier {', '.join(sorted(missing))}")
        return self

    @property
    def default_size(self) -> Size:
        return self.sizes.default

    def size_for(self, ratio: str) -> Size:
        """For an aspect ratio such as "16:9"; raise `InvalidAspectRatio`."""
        return self.sizes.for_ratio(ratio)

    def check_size(self, width: int, height: int) -> None:
        """Raise `InvalidSize` unless the model makes pictures of exactly this size."""
        self.sizes.check(width, height)

    def lora(self, name: str) -> Lora:
        """Raise `InvalidSpec` for one that isn't the model's."""
        for lora in self.loras:
            if lora.id == name:
                return lora
        raise InvalidSpec(f"{self.id} has no LoRA {name}")


class Catalogue(Entry):
    default_ids: Annotated[tuple[ModelId, ...], Field(alias="default", min_length=1)]
    currency: str = "USD"
    models: Annotated[tuple[Model, ...], Field(min_length=1)]
    folder: Path  #: of the catalogue's file

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raise `InvalidCatalogue`, naming the file and what is wrong with it."""
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            return cls.model_validate({**content, "folder": path.resolve().parent})
        except (OSError, TypeError, yaml.YAMLError, ValidationError) as error:
            raise InvalidCatalogue(f"{path}: {error}") from error

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = ["default", *(name for model in self.models for name in (model.id, *model.aliases))]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"names more than one model: {', '.join(sorted(twice))}")
        if unknown := set(self.default_ids) - set(names):
            raise ValueError(f"default names no model: {', '.join(sorted(unknown))}")
        return self

    @cached_property
    def default(self) -> Model:
        """The first of the defaults whose folder is here; the first of all where none is."""
        models = [self.find(name) for name in self.default_ids]
        here = (model for model in models if self.folder_of(model) is not None)
        return next(here, models[0])

    def find(self, name: str) -> Model:
        """By id, by alias, or "default"; raise `UnknownModel`."""
        if name == "default":
            return self.default
        for model in self.models:
            if name in (model.id, *model.aliases):
                return model
        raise UnknownModel(f"There is no model {name!r} in the catalogue")

    def folder_of(self, model: Model) -> Path | None:
        """Where its files are, or None for a hub id and for a folder that isn't here."""
        folder = self.folder / model.source
        return folder if (folder / "model_index.json").is_file() else None
