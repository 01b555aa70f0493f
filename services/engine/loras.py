"""LoRAs laid on a loaded pipeline for one generation, and taken off again: exactly as before."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import hf_hub_download

from schemas.jobs import GenerationSpec
from schemas.manifest import ManifestLora
from services.engine.catalogue import Catalogue, Lora, Model
from services.engine.loader import is_hub_id
from services.errors import InvalidSpec, ModelRefused, OutOfMemory

DEFAULT_FILE = "pytorch_lora_weights.safetensors"  #: diffusers' name for it


class _Laid(NamedTuple):
    file: Path
    facts: ManifestLora


@contextmanager
def laid_on(
    pipeline: Any,  # noqa: ANN401 - of any class
    spec: GenerationSpec,
    model: Model,
    catalogue: Catalogue,
) -> Iterator[tuple[ManifestLora, ...]]:
    """The facts of the LoRAs in use. Raise `InvalidSpec`, or `ModelRefused` for a LoRA's file."""
    if not spec.loras:
        yield ()
        return
    if not hasattr(pipeline, "load_lora_weights"):
        raise InvalidSpec(f"{model.id} takes no LoRAs")
    chosen = [_found(model.lora(wish.id), wish.weight, catalogue) for wish in spec.loras]
    names = [f"lora{number}" for number in range(len(chosen))]  # ids may hold dots, these not
    try:
        for name, lora in zip(names, chosen, strict=True):
            _load(pipeline, name, lora, model)
        pipeline.set_adapters(names, [lora.facts.weight for lora in chosen])
        yield tuple(lora.facts for lora in chosen)
    finally:
        pipeline.unload_lora_weights()


def _found(lora: Lora, weight: float, catalogue: Catalogue) -> _Laid:
    file = _file(lora, catalogue)
    with file.open("rb") as content:
        sha256 = file_digest(content, "sha256").hexdigest()
    if lora.sha256 not in (None, sha256):
        raise ModelRefused(f"{lora.id}: its file has sha256 {sha256}, not {lora.sha256}")
    return _Laid(file, ManifestLora(id=lora.id, sha256=sha256, weight=weight))


def _file(lora: Lora, catalogue: Catalogue) -> Path:
    """Beside the catalogue, or else from the hub."""
    path = catalogue.folder / lora.source
    file = path / DEFAULT_FILE if path.is_dir() else path
    if file.is_file():
        if file.suffix != ".safetensors":
            raise ModelRefused(f"{lora.id}: {file.name} could run code; only safetensors load")
        return file
    if file.suffix == ".safetensors" or not is_hub_id(lora.source):
        raise ModelRefused(f"{lora.id}: there is no LoRA at {lora.source}")
    try:
        return Path(hf_hub_download(lora.source, DEFAULT_FILE, revision=lora.revision))
    except (OSError, ValueError) as error:
        raise ModelRefused(f"{lora.id}: {lora.source} can't be fetched: {error}") from error


def _load(pipeline: Any, name: str, lora: _Laid, model: Model) -> None:  # noqa: ANN401
    try:
        pipeline.load_lora_weights(lora.file, adapter_name=name)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory from error
    except (OSError, ValueError, RuntimeError) as error:  # of another architecture, or no LoRA
        raise ModelRefused(f"{lora.facts.id} doesn't fit {model.id}") from error
    adapters = {each for part in pipeline.get_list_adapters().values() for each in part}
    if name not in adapters:
        raise ModelRefused(f"{lora.facts.id} changes nothing in {model.id}")
