"""The engine as workers use it: a real child process with the tiny model."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from schemas.jobs import GenerationSpec, LoraWeight, Reference, Stage, Tier
from services.engine.encoding import read_manifest
from services.engine.process import EngineProcess
from services.errors import (
    DarkroomError,
    EngineDied,
    InvalidSize,
    InvalidSpec,
    ModelRefused,
    NanPixels,
    UnknownModel,
)
from services.settings import EngineSettings

ROOT = Path(__file__).parents[2]
TINY = ROOT / "models" / "tiny"
ENTRY = """
  - id: {id}
    source: {source}
    sizes: {{native: [64, 64], smallest: 64, largest: 512}}
    tiers: # their schedulers in turn: plain, with a history, drawing noise, unknown
      draft: {{num_inference_steps: 2, guidance_scale: 1.0, scheduler: DDIMScheduler}}
      standard: {{num_inference_steps: 4, guidance_scale: 5.0, scheduler: PNDMScheduler}}
      high: {{num_inference_steps: 4, guidance_scale: 5.0, scheduler: DDPMScheduler}}
      ultra: {{num_inference_steps: 4, guidance_scale: 5.0, scheduler: NoSuchScheduler}}
"""
MODELS = {
    "tiny": str(TINY),
    "pickled": "pickled",
    "coded": "coded",
    "broken": "broken",
    "absent": "absent",
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> EngineSettings:
    folder = tmp_path_factory.mktemp("models")
    for name in ("pickled", "coded", "broken"):
        copytree(TINY, folder / name)
    (folder / "pickled" / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"")
    (folder / "coded" / "pipeline.py").write_text("raise SystemExit")
    weights = folder / "broken" / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["decoder.conv_out.bias"][:] = np.nan
    save_file(tensors, weights, metadata={"format": "pt"})
    entries = "".join(ENTRY.format(id=name, source=source) for name, source in MODELS.items())
    file = folder / "models.yaml"
    file.write_text(f"default: [tiny]\nmodels:{entries}")
    return EngineSettings(models=file, device="cpu", threads=1)


@pytest.fixture(scope="module")
async def engine(settings: EngineSettings) -> AsyncIterator[EngineProcess]:
    async with EngineProcess.open(settings) as engine:
        await engine.warm()
        yield engine


def spec(**changes: object) -> GenerationSpec:
    plain = {"prompt": "a red circle", "model": "tiny", "width": 64, "height": 64, "seed": 7}
    return GenerationSpec.model_validate(plain | changes)


async def files(engine: EngineProcess, wish: GenerationSpec) -> list[bytes]:
    return [picture.png for picture in (await engine.generate(wish)).pictures]


def pid_of(engine: EngineProcess) -> int:
    assert engine.pid is not None
    return engine.pid


@pytest.mark.parametrize("tier", [Tier.DRAFT, Tier.STANDARD, Tier.HIGH])
async def test_the_same_spec_gives_the_same_bytes_whatever_ran_between(
    engine: EngineProcess, tier: Tier
) -> None:
    first = await files(engine, spec(tier=tier))
    await files(engine, spec(seed=8, width=128, num_inference_steps=3))

    assert await files(engine, spec(tier=tier)) == first


@pytest.mark.parametrize("change", [{"seed": 8}, {"prompt": "x"}, {"negative_prompt": "blue"}])
async def test_another_wish_gives_other_pixels(
    engine: EngineProcess, change: dict[str, Any]
) -> None:
    one, other = [(await files(engine, wish))[0] for wish in (spec(), spec(**change))]

    assert one[one.index(b"IDAT") :] != other[other.index(b"IDAT") :]


async def test_picture_n_is_the_single_picture_of_seed_plus_n(engine: EngineProcess) -> None:
    batch = await engine.generate(spec(seed=2**53 - 2, num_images=3))
    alone = [(await files(engine, spec(seed=seed)))[0] for seed in (2**53 - 2, 2**53 - 1, 0)]

    assert [picture.seed for picture in batch.pictures] == [2**53 - 2, 2**53 - 1, 0]
    assert [picture.png for picture in batch.pictures] == alone


async def test_the_file_holds_the_manifest_of_what_was_made(engine: EngineProcess) -> None:
    made = await engine.generate(spec(model="default", width=128, guidance_scale=2.5))
    picture = made.pictures[0]
    manifest = read_manifest(picture.png)

    assert manifest == picture.manifest
    assert (manifest.model, manifest.model_sha256) == ("tiny", made.model_sha256)
    assert (manifest.width, manifest.height, manifest.seed) == (128, 64, 7)
    assert (manifest.num_inference_steps, manifest.guidance_scale) == (4, 2.5)
    assert (manifest.scheduler, manifest.rows, manifest.threads) == ("PNDMScheduler", 2, 1)
    assert 0 < made.gpu_seconds <= made.generation_seconds


async def test_without_guidance_a_launch_has_one_row(engine: EngineProcess) -> None:
    made = await engine.generate(spec(tier=Tier.DRAFT))

    assert made.pictures[0].manifest.rows == 1


async def test_steps_are_reported_over_all_pictures(engine: EngineProcess) -> None:
    seen: list[tuple[Stage, int, int]] = []
    await engine.generate(
        spec(num_images=2, tier=Tier.DRAFT), on_progress=lambda *step: seen.append(step)
    )

    assert seen == [
        (Stage.ENCODING_PROMPT, 0, 0),
        (Stage.DENOISING, 1, 4),
        (Stage.DENOISING, 2, 4),
        (Stage.DENOISING, 3, 4),
        (Stage.DECODING, 4, 4),
    ]


@pytest.mark.parametrize(
    ("change", "kind", "word"),
    [
        ({"model": "nope"}, UnknownModel, "nope"),
        ({"model": "absent"}, ModelRefused, "absent"),
        ({"model": "pickled"}, ModelRefused, "unet/diffusion_pytorch_model.bin"),
        ({"model": "coded"}, ModelRefused, "pipeline.py"),
        ({"model": "broken"}, NanPixels, "numbers"),
        ({"width": 68}, InvalidSize, "width"),
        ({"height": 520}, InvalidSize, "height"),
        ({"seed": None}, InvalidSpec, "seed"),
        ({"tier": Tier.ULTRA}, ModelRefused, "NoSuchScheduler"),
        ({"loras": (LoraWeight(id="ink"),)}, InvalidSpec, "ink"),
        ({"references": (Reference(alias="@hero"),)}, InvalidSpec, "0 files"),
    ],
)
async def test_what_cannot_be_made_is_refused_and_the_next_is_made(
    engine: EngineProcess, change: dict[str, Any], kind: type[DarkroomError], word: str
) -> None:
    with pytest.raises(kind, match=word):
        await engine.generate(spec(**change))

    assert await files(engine, spec(tier=Tier.DRAFT))


async def test_a_cancelled_generation_gives_way_to_the_next(engine: EngineProcess) -> None:
    started = asyncio.Event()
    task = asyncio.create_task(
        engine.generate(
            spec(width=512, height=512, num_inference_steps=500),
            on_progress=lambda *_: started.set(),
        )
    )
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async with asyncio.timeout(5):  # 500 steps take a minute
        assert await files(engine, spec(tier=Tier.DRAFT))


async def test_generations_run_one_after_the_other(engine: EngineProcess) -> None:
    told: list[str] = []

    async def generate(name: str) -> None:
        await engine.generate(spec(tier=Tier.DRAFT), on_progress=lambda *_: told.append(name))

    await asyncio.gather(generate("first"), generate("second"))

    assert set(told) == {"first", "second"}
    assert told == sorted(told)


async def test_after_kill_9_another_child_makes_the_same_bytes(engine: EngineProcess) -> None:
    wish = spec(num_images=2)
    before = await files(engine, wish)
    first_child = pid_of(engine)

    def kill_at_the_third(_: Stage, step: int, __: int) -> None:
        if step == 3:
            os.kill(first_child, signal.SIGKILL)

    with pytest.raises(EngineDied):
        await engine.generate(spec(num_inference_steps=500), on_progress=kill_at_the_third)
    after = await files(engine, wish)

    assert engine.pid != first_child
    assert after == before


async def test_signals_meant_for_the_parent_do_not_stop_the_child(engine: EngineProcess) -> None:
    await engine.warm()
    pid = pid_of(engine)
    for name in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, name)

    assert await files(engine, spec())
    assert engine.pid == pid


PARENT = """
import asyncio, sys
from services.engine.process import EngineProcess
from services.settings import EngineSettings

async def main():
    async with EngineProcess.open(EngineSettings.model_validate_json(sys.argv[1])) as engine:
        print("pid", engine.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_the_child_ends_when_its_parent_is_killed(settings: EngineSettings) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, settings.model_dump_json()),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    async for line in parent.stdout:
        if line.startswith(b"pid "):
            break
    child = os.pidfd_open(int(line.split()[1]))  # readable once the process has ended
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(child, ended.set)
    assert not ended.is_set()

    parent.kill()
    await parent.wait()

    async with asyncio.timeout(10):
        await ended.wait()
    asyncio.get_running_loop().remove_reader(child)
    os.close(child)
