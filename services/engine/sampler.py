"""A `GenerationSpec` -> its pictures, a pipeline call each: same spec, same bytes."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version

import torch

from schemas.jobs import GenerationSpec, Stage
from schemas.manifest import Manifest, ManifestLora
from services.engine.denoising import Controls, Task, denoise, seed_of, task_of
from services.engine.encoding import encode
from services.engine.loader import Loaded, Loader
from services.engine.loras import laid_on
from services.engine.messages import Generated
from services.engine.steering import steering
from services.errors import InvalidSpec

LIBRARIES = ("torch", "diffusers", "transformers", "pillow")


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
        start = steering(spec, references)
        loaded = self._load(spec, controls)
        task = task_of(loaded, spec, start)
        gpu_seconds, files = 0.0, []
        with laid_on(loaded.pipeline, spec, loaded.model, self._loader.catalogue) as loras:
            for number in range(spec.num_images):
                began = time.perf_counter()
                pixels = denoise(task, number, controls)
                gpu_seconds += time.perf_counter() - began
                manifest = _manifest(task, loras, self._loader.device, seed_of(spec, number))
                encoding = partial(encode, with_parameters=spec.embed_parameters)
                files.append(self._encoder.submit(encoding, pixels, manifest))
        return Generated(
            pictures=tuple(file.result() for file in files),
            model=loaded.model.id,
            model_sha256=loaded.sha256,
            tier=spec.tier,
            generation_seconds=time.perf_counter() - started,
            gpu_seconds=gpu_seconds,
            device=device_name(self._loader.device),
        )

    def _load(self, spec: GenerationSpec, controls: Controls) -> Loaded:
        model = self._loader.catalogue.find(spec.model)
        model.check_size(spec.width, spec.height)
        if spec.seed is None:
            raise InvalidSpec("seed is missing: it is drawn at admission")
        if not self._loader.has(model):
            controls.on_progress(Stage.LOADING_MODEL, 0, 0)
        loaded = self._loader.load(model)
        controls.on_progress(Stage.ENCODING_PROMPT, 0, 0)
        return loaded


def _manifest(
    task: Task, loras: tuple[ManifestLora, ...], device: torch.device, seed: int
) -> Manifest:
    loaded, spec, start, pipeline, settings = task
    guided = getattr(pipeline, "do_classifier_free_guidance", False)
    return Manifest(
        prompt=spec.prompt,
        negative_prompt=spec.negative_prompt,
        model=loaded.model.id,
        model_sha256=loaded.sha256,
        pipeline=type(pipeline).__name__,
        scheduler=settings.scheduler,
        tier=spec.tier,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        strength=start.strength if start else None,
        width=spec.width,
        height=spec.height,
        seed=seed,
        rows=2 if guided else 1,
        references=start.used if start else (),
        loras=loras,
        dtype=loaded.dtype,
        device=device_name(device),
        threads=torch.get_num_threads(),
        libraries={name: version(name) for name in LIBRARIES},
    )


def device_name(device: torch.device) -> str:
    """The class of devices that give the same bytes."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
