"""The committed folder is whole, loads as any other model does, and follows words."""

import hashlib
import json
from pathlib import Path
from random import Random

import pytest
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    DDIMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    StableDiffusionInpaintPipeline,
)
from PIL import Image

from models.embedded.captions import caption
from models.embedded.checker import check
from models.embedded.evaluate import Settings, paint
from models.embedded.export import MANIFEST
from models.embedded.sampling import draw_plain_single, seen
from models.embedded.vocabulary import words

FOLDER = Path("models/darkroom-small")
PROMPT = "a red circle on a blue background"
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not FOLDER.exists(), reason="the trained model is not committed yet"),
]


@pytest.fixture(scope="module")
def pipeline() -> DiffusionPipeline:
    torch.set_num_threads(1)
    loaded = DiffusionPipeline.from_pretrained(FOLDER, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_every_file_has_the_hash_in_the_manifest() -> None:
    lines = (FOLDER / MANIFEST).read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    there = {file.relative_to(FOLDER).as_posix() for file in FOLDER.rglob("*") if file.is_file()}

    assert there == {*listed, MANIFEST}
    for name, digest in listed.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name


def test_the_folder_is_small_and_has_no_pickle() -> None:
    files = [file for file in FOLDER.rglob("*") if file.is_file()]

    assert sum(file.stat().st_size for file in files) <= 25_000_000
    assert {file.suffix for file in files} <= {".safetensors", ".json", ".md", ".txt"}


def test_it_has_four_latent_channels_at_an_eighth() -> None:
    unet = json.loads((FOLDER / "unet" / "config.json").read_text())
    vae = json.loads((FOLDER / "vae" / "config.json").read_text())

    assert (unet["in_channels"], unet["out_channels"], vae["latent_channels"]) == (4, 4, 4)
    assert len(vae["decoder_block_out_channels"]) == 4


def test_the_card_lists_every_word() -> None:
    card = (FOLDER / "README.md").read_text()

    assert all(word in card for word in words())


def test_pictures_have_the_background_and_colour_they_were_asked_for(
    pipeline: DiffusionPipeline,
) -> None:
    random = Random(1)
    pictures = [seen(draw_plain_single, random) for _ in range(12)]
    texts = [caption(picture, random) for picture in pictures]
    painted = paint(pipeline, texts, Settings(12, 3.0, 256, 12), seed=1)
    checks = [
        one
        for picture, pixels in zip(pictures, painted, strict=True)
        for one in check(picture, pixels)
        if one.aspect in ("background", "colour")
    ]

    assert sum(one.right for one in checks) >= 20


@pytest.mark.parametrize("scheduler", [DDIMScheduler, EulerDiscreteScheduler])
def test_common_schedulers_paint_the_background(
    pipeline: DiffusionPipeline, scheduler: type[DDIMScheduler]
) -> None:
    ours = pipeline.scheduler
    pipeline.scheduler = scheduler.from_config(ours.config)
    pixels = paint(pipeline, [PROMPT], Settings(20, 3.0, 256, 1), seed=3)[0]
    pipeline.scheduler = ours
    corner = pixels[:16, :16].reshape(-1, 3).mean(0)

    assert corner[2] > corner[0] + 50


def test_image_to_image_keeps_the_layout(pipeline: DiffusionPipeline) -> None:
    drawn = Image.new("RGB", (256, 256), (40, 90, 220))
    again = AutoPipelineForImage2Image.from_pipe(pipeline)
    made = again(PROMPT, image=drawn, strength=0.3, num_inference_steps=20,
                 generator=torch.Generator().manual_seed(1)).images[0]  # fmt: skip

    assert made.size == (256, 256)
    assert made.getpixel((5, 5))[2] > made.getpixel((5, 5))[0] + 50


def test_inpainting_leaves_what_is_not_masked(pipeline: DiffusionPipeline) -> None:
    drawn = Image.new("RGB", (256, 256), (40, 90, 220))
    mask = Image.new("L", (256, 256), 0)
    mask.paste(255, (0, 0, 128, 256))
    inpaint = StableDiffusionInpaintPipeline(**pipeline.components, requires_safety_checker=False)
    inpaint.set_progress_bar_config(disable=True)
    made = inpaint("a red circle on a green background", image=drawn, mask_image=mask,
                   num_inference_steps=12, strength=1.0,
                   generator=torch.Generator().manual_seed(1)).images[0]  # fmt: skip
    right = made.crop((160, 0, 256, 256)).resize((1, 1)).getpixel((0, 0))

    assert max(abs(a - b) for a, b in zip(right, (40, 90, 220), strict=True)) < 25


@pytest.mark.parametrize(("width", "height"), [(128, 128), (320, 192), (512, 512)])
def test_other_sizes_paint_too(pipeline: DiffusionPipeline, width: int, height: int) -> None:
    made = pipeline(PROMPT, width=width, height=height, num_inference_steps=4,
                    generator=torch.Generator().manual_seed(1)).images[0]  # fmt: skip

    assert made.size == (width, height)
