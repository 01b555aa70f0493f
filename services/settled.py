"""A spec as it was asked for -> one whose model, size and seed no later change reaches. Pure."""

import re
from hashlib import sha256
from typing import Final
from uuid import UUID

from schemas.common import SEED_LIMIT
from schemas.jobs import GenerationSpec, LoraWeight, PresetVersion, ReferenceRole
from schemas.presets import LATEST, SLUG
from services.engine.catalogue import Catalogue, Model, Size
from services.errors import InvalidRequest, InvalidSize, InvalidSpec, PromptRequired, UnknownModel

_SLUG: Final = re.compile(SLUG)


def settled(spec: GenerationSpec, catalogue: Catalogue, run: UUID) -> GenerationSpec:
    """Or `InvalidRequest`; the same for the same run."""
    if not spec.prompt.strip():
        raise PromptRequired(pointer="/prompt")
    try:
        model = catalogue.find(spec.model)
        size = catalogue_size(spec, model)
        model.check_size(size.width, size.height)
    except UnknownModel as error:
        raise InvalidRequest(error.message, "/model") from error
    except InvalidSize as error:
        side = "height" if error.message.startswith("height") else "width"
        raise InvalidRequest(error.message, f"/{side}") from error
    _check_loras(spec.loras, model)
    if spec.verifies is not None:
        raise InvalidRequest("verifies is not for callers", "/verifies")
    _check_references(spec)
    _check_preset(spec.preset)
    seed = drawn_seed(run) if spec.seed is None else spec.seed
    fixed = {"model": model.id, "seed": seed, "width": size.width, "height": size.height}
    return spec.model_copy(update=fixed)


def catalogue_size(spec: GenerationSpec, model: Model) -> Size:
    """What was asked for, or the model's own size when neither side was."""
    if {"width", "height"}.isdisjoint(spec.model_fields_set):
        return model.default_size
    return Size(width=spec.width, height=spec.height)


def drawn_seed(run: UUID) -> int:
    """Below 2^53 and the same for the same run, however often its command is read."""
    return int.from_bytes(sha256(run.bytes).digest()[:8]) % SEED_LIMIT


def _check_references(spec: GenerationSpec) -> None:
    roles = {reference.role for reference in spec.references}
    if spec.strength is not None and not roles:
        raise InvalidRequest("strength needs a reference that it is about", "/strength")
    if roles and ReferenceRole.IMAGE not in roles:
        raise InvalidRequest("A mask needs a picture to lie on", "/references")


def _check_preset(preset: PresetVersion | None) -> None:
    """Its slug becomes a part of the pictures' paths, whoever names it."""
    if preset is None:
        return
    if not _SLUG.fullmatch(preset.slug) or not 1 <= preset.version <= LATEST:
        raise InvalidRequest("There can be no such version of a preset", "/preset")


def _check_loras(asked: tuple[LoraWeight, ...], model: Model) -> None:
    for index, lora in enumerate(asked):
        try:
            model.lora(lora.id)
        except InvalidSpec as error:
            raise InvalidRequest(error.message, f"/loras/{index}/id") from error
