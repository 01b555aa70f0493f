"""Noise -> the pixels of one picture, by one call of a pipeline with a scheduler of its own."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import diffusers
import numpy as np
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    DiffusionPipeline,
    SchedulerMixin,
)
from numpy.typing import NDArray
from PIL import Image

from schemas.common import SEED_LIMIT
from schemas.jobs import GenerationSpec, Stage
from services.engine.catalogue import TierSettings
from services.engine.loader import Loaded
from services.engine.steering import Steering
from services.errors import InvalidSize, InvalidSpec, ModelRefused, NanPixels, OutOfMemory, Stopped

Arguments = dict[str, Any]
OnProgress = Callable[[Stage, int, int], None]  #: stage, steps done, steps in all


class Controls(NamedTuple):
    on_progress: OnProgress
    stop_asked: Callable[[], bool]


class Task(NamedTuple):
    """What all pictures of a generation have in common."""

    loaded: Loaded
    spec: GenerationSpec
    steering: Steering | None
    pipeline: Any  #: diffusers' pipeline for it, of the loaded one's parts
    settings: TierSettings


def task_of(loaded: Loaded, spec: GenerationSpec, start: Steering | None) -> Task:
    """Raise `InvalidSpec` for what the model can't start from."""
    settings = settings_of(loaded, spec)
    if start is None:
        return Task(loaded, spec, start, loaded.pipeline, settings)
    if int(settings.num_inference_steps * start.strength) < 1:
        steps = settings.num_inference_steps
        raise InvalidSpec(f"A strength of {start.strength} leaves none of {steps} steps")
    kind = AutoPipelineForInpainting if start.mask else AutoPipelineForImage2Image
    try:
        pipeline = kind.from_pipe(loaded.pipeline)
    except ValueError as error:
        raise InvalidSpec(f"{loaded.model.id} doesn't start from other pictures") from error
    pipeline.set_progress_bar_config(disable=True)
    return Task(loaded, spec, start, pipeline, settings)


def denoise(task: Task, number: int, controls: Controls) -> Image.Image:
    """Noise from the picture's own CPU generator, a scheduler of its own, a launch of its own."""
    loaded, spec, start, pipeline, settings = task

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
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(seed_of(spec, number)),
            callback_on_step_end=on_step_end,
            output_type="np",
            **_start(pipeline, spec, start),
            **_negative(pipeline, spec),
        )
    except ValueError as error:  # diffusers' word for arguments that it can't work with
        raise InvalidSpec(f"{loaded.model.id}: {error}") from error
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise OutOfMemory from error
    picture = _picture(output.images[0])
    if picture.size != (spec.width, spec.height):
        raise InvalidSize(f"{loaded.model.id} made {picture.width}x{picture.height} instead")
    if start and start.mask:  # the VAE changes what it only passes on
        return Image.composite(picture, start.image, start.mask)
    return picture


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


def _start(pipeline: DiffusionPipeline, spec: GenerationSpec, start: Steering | None) -> Arguments:
    size = {"width": spec.width, "height": spec.height}
    if start is None:
        return size
    taken = inspect.signature(pipeline.__call__).parameters
    given = {"image": start.image, "strength": start.strength, "mask_image": start.mask, **size}
    return {name: value for name, value in given.items() if name in taken}


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
