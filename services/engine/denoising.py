"""Noise -> the pixels of one picture, by one call of a pipeline with a scheduler of its own."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import diffusers
import numpy as np
import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from numpy.typing import NDArray
from PIL import Image

from schemas.common import SEED_LIMIT
from schemas.jobs import GenerationSpec, Stage
from services.engine.catalogue import TierSettings
from services.engine.loader import Loaded
from services.errors import InvalidSpec, ModelRefused, NanPixels, OutOfMemory, Stopped

OnProgress = Callable[[Stage, int, int], None]  #: stage, steps done, steps in all


class Controls(NamedTuple):
    on_progress: OnProgress
    stop_asked: Callable[[], bool]


def denoise(loaded: Loaded, spec: GenerationSpec, number: int, controls: Controls) -> Image.Image:
    """Noise from the picture's own CPU generator, a scheduler of its own, a launch of its own."""
    pipeline = loaded.pipeline
    settings = settings_of(loaded, spec)

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
            generator=torch.Generator("cpu").manual_seed(seed_of(spec, number)),
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


def settings_of(loaded: Loaded, spec: GenerationSpec) -> TierSettings:
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


def seed_of(spec: GenerationSpec, number: int) -> int:
    return ((spec.seed or 0) + number) % SEED_LIMIT
