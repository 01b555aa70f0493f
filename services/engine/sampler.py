"""A `GenerationSpec` -> its pictures, a pipeline call each: same spec, same bytes."""

import inspect
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, NamedTuple

import diffusers
import numpy as np
import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from numpy.typing import NDArray
from PIL import Image

from schemas.common import SEED_LIMIT
from schemas.jobs import GenerationSpec, Stage
from schemas.manifest import Manifest
from services.engine.catalogue import TierSettings
from services.engine.encoding import encode
from services.engine.loader import Loaded, Loader
from services.engine.messages import Generated
from services.errors import InvalidSpec, ModelRefused, NanPixels, OutOfMemory, Stopped

LIBRARIES = ("torch", "diffusers", "transformers", "pillow")

OnProgress = Callable[[Stage, int, int], None]  #: stage, steps done, steps in all


class Controls(NamedTuple):
    on_progress: OnProgress
    stop_asked: Callable[[], bool]


class Sampler:
    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._encoder = ThreadPoolExecutor(1, "encode")

    def generate(
        self, spec: GenerationSpec, references: Sequence[bytes], controls: Controls
    ) -> Generated:
        """Raise a `PermanentError` for what can't be made, `Stopped` when asked to stop.

        Picture n is encoded while picture n+1 is denoised.
        """
        started = time.perf_counter()
        loaded = self._load(spec, references, controls)
        gpu_seconds, files = 0.0, []
        for number in range(spec.num_images):
            began = time.perf_counter()
            pixels = _denoise(loaded, self._loader.device, spec, number, controls)
            gpu_seconds += time.perf_counter() - began
            manifest = _manifest(loaded, self._loader.device, spec, _seed(spec, number))
            files.append(self._encoder.submit(encode, pixels, manifest))
        return Generated(
            pictures=tuple(file.result() for file in files),
            model=loaded.model.id,
            model_sha256=loaded.sha256,
            tier=spec.tier,
            generation_seconds=time.perf_counter() - started,
            gpu_seconds=gpu_seconds,
            device=device_name(self._loader.device),
        )

    def _load(
        self, spec: GenerationSpec, references: Sequence[bytes], controls: Controls
    ) -> Loaded:
        model = self._loader.catalogue.find(spec.model)
        model.check_size(spec.width, spec.height)
        if spec.seed is None:
            raise InvalidSpec("seed is missing: it is drawn at admission")
        if references or spec.references:
            raise InvalidSpec(f"{model.id} doesn't start from other pictures")
        if spec.loras:
            raise InvalidSpec(f"{model.id} has no LoRA {spec.loras[0].id}")
        if not self._loader.has(model):
            controls.on_progress(Stage.LOADING_MODEL, 0, 0)
        loaded = self._loader.load(model)
        controls.on_progress(Stage.ENCODING_PROMPT, 0, 0)
        return loaded


def _denoise(
    loaded: Loaded, device: torch.device, spec: GenerationSpec, number: int, controls: Controls
) -> Image.Image:
    """Noise from the picture's own CPU generator, a scheduler of its own, a launch of its own."""
    pipeline = loaded.pipeline
    settings = _settings(loaded, spec)

    def on_step_end(_: object, index: int, __: object, tensors: dict[str, Any]) -> dict[str, Any]:
        if controls.stop_asked():
            raise Stopped
        each: int = pipeline.num_timesteps
        done, steps = number * each + index + 1, spec.num_images * each
        controls.on_progress(Stage.DECODING if done == steps else Stage.DENOISING, done, steps)
        return tensors

    if controls.stop_asked():
        raise Stopped
    pipeline.scheduler = _scheduler(loaded, settings.scheduler)
    try:
        output = pipeline(
            prompt=spec.prompt,
            width=spec.width,
            height=spec.height,
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(_seed(spec, number)),
            callback_on_step_end=on_step_end,
            output_type="np",
            **_negative(pipeline, spec),
        )
    except ValueError as error:  # diffusers' word for arguments that it can't work with
        raise InvalidSpec(f"{loaded.model.id}: {error}") from error
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise OutOfMemory from error
    return _picture(output.images[0])


def _settings(loaded: Loaded, spec: GenerationSpec) -> TierSettings:
    """The tier's, but for what the spec says itself."""
    own = {"num_inference_steps": spec.num_inference_steps, "guidance_scale": spec.guidance_scale}
    said = {name: value for name, value in own.items() if value is not None}
    return loaded.model.tiers[spec.tier].model_copy(update=said)


def _scheduler(loaded: Loaded, name: str) -> SchedulerMixin:
    kind = getattr(diffusers, name, None)
    if kind is None:
        raise ModelRefused(f"{loaded.model.id}: diffusers has no scheduler {name}")
    return kind.from_config(loaded.scheduler_config)


def _negative(pipeline: DiffusionPipeline, spec: GenerationSpec) -> dict[str, str]:
    if "negative_prompt" in inspect.signature(pipeline.__call__).parameters:
        return {"negative_prompt": spec.negative_prompt}
    if spec.negative_prompt:
        raise InvalidSpec(f"{type(pipeline).__name__} takes no negative prompt")
    return {}


def _picture(pixels: NDArray[np.float32]) -> Image.Image:
    """Rows of RGB in 0…1 -> 8 bits, as diffusers itself rounds."""
    if not np.isfinite(pixels).all():
        raise NanPixels
    return Image.fromarray((pixels * 255).round().astype("uint8"))


def _seed(spec: GenerationSpec, number: int) -> int:
    return ((spec.seed or 0) + number) % SEED_LIMIT


def _manifest(loaded: Loaded, device: torch.device, spec: GenerationSpec, seed: int) -> Manifest:
    settings = _settings(loaded, spec)
    guided = getattr(loaded.pipeline, "do_classifier_free_guidance", False)
    return Manifest(
        prompt=spec.prompt,
        negative_prompt=spec.negative_prompt,
        model=loaded.model.id,
        model_sha256=loaded.sha256,
        pipeline=type(loaded.pipeline).__name__,
        scheduler=settings.scheduler,
        tier=spec.tier,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        width=spec.width,
        height=spec.height,
        seed=seed,
        rows=2 if guided else 1,
        dtype=loaded.dtype,
        device=device_name(device),
        threads=torch.get_num_threads(),
        libraries={name: version(name) for name in LIBRARIES},
    )


def device_name(device: torch.device) -> str:
    """The class of devices that give the same bytes."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
