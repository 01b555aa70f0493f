"""What changes a picture -> the key under which it is kept. Pure."""

import json
from hashlib import sha256
from uuid import UUID

from schemas.jobs import GenerationSpec
from services.engine.catalogue import Catalogue
from services.settled import settled

VERSION = 1  #: of what the key is made from
ALWAYS = {"prompt", "model", "tier", "width", "height"}  #: whatever their defaults become


def settled_but_for_seed(spec: GenerationSpec, catalogue: Catalogue) -> GenerationSpec:
    """With the model's id and the size in pixels, or `InvalidRequest`."""
    fixed = settled(spec, catalogue, UUID(int=0))
    return fixed.model_copy(update={"seed": spec.seed})


def cache_key(project: str, spec: GenerationSpec) -> str:
    """SHA-256, in hex, over the project and every parameter of the settled spec.

    A seed that nobody chose is none: whichever is drawn, the picture is the one that was asked for.
    """
    told = spec.model_dump(mode="json", exclude_defaults=True)
    told |= spec.model_dump(mode="json", include=ALWAYS)
    text = json.dumps([VERSION, project, told], sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()
