"""A catalogue's model -> a pipeline on the device: safetensors only, no remote code."""

import gc
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import structlog
import torch
from diffusers import DiffusionPipeline
from huggingface_hub.utils import disable_progress_bars
from transformers.utils import logging as transformers_logging

from services.engine.catalogue import Catalogue, DeviceClass, Model
from services.engine.files import digest, refuse_unsafe
from services.errors import ModelRefused

log = structlog.get_logger()


class Loaded(NamedTuple):
    model: Model
    pipeline: Any  #: diffusers' pipeline, of any class
    scheduler_config: Any  #: as shipped with the model; each picture gets a scheduler from it
    sha256: str
    dtype: str


class Loader:
    """Keeps one model on the device; asking for another frees it first."""

    def __init__(self, catalogue: Catalogue, device: torch.device) -> None:
        self.catalogue = catalogue
        self.device = device
        self._loaded: Loaded | None = None

    def has(self, model: Model) -> bool:
        return self._loaded is not None and self._loaded.model == model

    def load(self, model: Model) -> Loaded:
        """Raise `ModelRefused` for files that are missing, altered or unsafe."""
        if self._loaded is None or not self.has(model):
            self._free()
            self._loaded = self._read(model)
        return self._loaded

    def _free(self) -> None:
        self._loaded = None
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _read(self, model: Model) -> Loaded:
        quieten()
        folder = self._folder(model)
        refuse_unsafe(folder)
        found = digest(folder)
        if model.sha256 not in (None, found):
            raise ModelRefused(f"{model.id}: its files have sha256 {found}, not {model.sha256}")
        dtype = model.dtype.get(device_class(self.device), "float32")
        pipeline = _from_pretrained(folder, model, getattr(torch, dtype)).to(self.device)
        pipeline.set_progress_bar_config(disable=True)
        log.info("model_loaded", model=model.id, sha256=found, device=str(self.device), dtype=dtype)
        return Loaded(model, pipeline, pipeline.scheduler.config, found, dtype)

    def _folder(self, model: Model) -> Path:
        if folder := self.catalogue.folder_of(model):
            return folder
        if not is_hub_id(model.source):
            raise ModelRefused(f"{model.id}: there is no model in the folder {model.source}")
        try:
            downloaded = DiffusionPipeline.download(
                model.source, revision=model.revision, variant=model.variant, use_safetensors=True
            )
        except OSError as error:
            raise ModelRefused(f"{model.id}: {model.source} can't be fetched: {error}") from error
        return Path(downloaded)


def _from_pretrained(folder: Path, model: Model, dtype: torch.dtype) -> DiffusionPipeline:
    # A checker would blacken pictures unasked; pipelines without one refuse the argument.
    parts = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    unchecked = {"safety_checker": None} if "safety_checker" in parts else {}
    try:
        return DiffusionPipeline.from_pretrained(
            folder,
            dtype=dtype,
            variant=model.variant,
            use_safetensors=True,
            local_files_only=True,
            **unchecked,
        )
    except (OSError, ValueError) as error:
        raise ModelRefused(f"{model.id}: {error}") from error


def device_class(device: torch.device) -> DeviceClass:
    classes: dict[str, DeviceClass] = {"cpu": "cpu", "cuda": "cuda", "mps": "mps"}
    return classes[device.type]


def quieten() -> None:
    """Three libraries' progress bars and advice; their errors stay."""
    disable_progress_bars()
    for library in (diffusers.utils.logging, transformers_logging):
        library.disable_progress_bar()
        library.set_verbosity_error()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def is_hub_id(source: str) -> bool:
    return source.count("/") == 1 and not source.startswith((".", "/"))
