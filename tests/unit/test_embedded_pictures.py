"""What the committed weights paint, in the checker's eyes: for words, pictures, masks and LoRAs."""

from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    DiffusionPipeline,
    StableDiffusionPipeline,
)
from PIL import Image

from models.embedded.drawing import Pixels, draw
from models.embedded.evaluate import Settings, choose_prompts, evaluate, paint
from models.embedded.findings import SeenShapes
from models.embedded.report import Row
from models.embedded.seeing import see_shapes
from models.embedded.specification import Single, Thing
from models.embedded.vocabulary import PALETTE, Colour
from services.engine.catalogue import Catalogue

FOLDER = Path("models/darkroom-small")
SETTINGS = Settings(steps=16, guidance=4.0, side=256, batch=10)
ON_BLUE = Single(thing=Thing(colour="yellow", shape="circle"), place="left", background="blue")
pytestmark = [pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    torch.set_num_threads(1)
    loaded = DiffusionPipeline.from_pretrained(FOLDER, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def rows(pipeline: StableDiffusionPipeline, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    return evaluate(pipeline, choose_prompts(48, 7), SETTINGS, tmp_path_factory.mktemp("grids"), 7)


@pytest.mark.parametrize(
    ("kind", "aspect", "least"),
    [
        ("single", "background", 0.95),
        ("single", "colour", 0.9),
        ("single", "place", 0.9),
        ("single", "shape", 0.75),
        ("pair", "colour", 0.8),
        ("pair", "relation", 0.8),
        ("pair", "shape", 0.65),
        ("scene", "element", 0.85),
    ],
)
def test_pictures_show_what_they_were_asked_for(
    rows: list[Row], kind: str, aspect: str, least: float
) -> None:
    rights = [one.right for row in rows if row.kind == kind
              for one in row.checks if one.aspect == aspect]  # fmt: skip

    assert np.mean(rights) >= least


def test_a_negative_prompt_keeps_a_background_away(pipeline: StableDiffusionPipeline) -> None:
    free = Counter(seen.background for seen in _see(pipeline, "a circle"))
    usual, times = free.most_common(1)[0]
    without = _see(pipeline, "a circle", f"{usual} background")

    assert sum(seen.background == usual for seen in without) < times / 2


def test_image_to_image_repaints_what_the_prompt_names(pipeline: StableDiffusionPipeline) -> None:
    made = AutoPipelineForImage2Image.from_pipe(pipeline)(
        "a red circle on the left on a blue background", image=_drawn(ON_BLUE), strength=0.8,
        num_inference_steps=16, guidance_scale=4.0, generator=_generator(1),
    ).images[0]  # fmt: skip
    seen = see_shapes(np.asarray(made), things=1)

    assert (seen.background, seen.things[0].colour) == ("blue", "red")
    assert seen.things[0].x < 0.4


def test_inpainting_paints_the_masked_half_alone(pipeline: StableDiffusionPipeline) -> None:
    drawn, mask = _drawn(ON_BLUE), Image.new("L", (256, 256), 0)
    mask.paste(255, (128, 0, 256, 256))
    made = AutoPipelineForInpainting.from_pipe(pipeline)(
        "a large red circle on the right on a blue background", image=drawn, mask_image=mask,
        num_inference_steps=16, guidance_scale=4.0, strength=1.0, generator=_generator(1),
    ).images[0]  # fmt: skip
    left, right = np.asarray(made)[:, :120], np.asarray(made)[:, 136:]

    assert np.abs(left.astype(int) - np.asarray(drawn)[:, :120]).mean() < 4
    assert _share_of(right, "red") > 0.03


def test_the_lora_in_the_catalogue_paints_in_pastel(pipeline: StableDiffusionPipeline) -> None:
    catalogue = Catalogue.load(Path("models/models.yaml"))
    lora = catalogue.find("darkroom-small").lora("pastel")
    said = ["a red circle on a blue background", "a black star on a green background"]
    plain = paint(pipeline, said, SETTINGS, seed=1)
    pipeline.load_lora_weights(catalogue.folder / lora.source)
    pastel = paint(pipeline, said, SETTINGS, seed=1)
    pipeline.unload_lora_weights()

    wanted = (plain.mean((1, 2)) + 255) / 2
    assert np.abs(pastel.mean((1, 2)) - wanted).mean() < 30
    assert np.abs(plain.mean((1, 2)) - wanted).mean() > 50
    assert np.array_equal(paint(pipeline, said, SETTINGS, seed=1), plain)


def _see(pipeline: StableDiffusionPipeline, said: str, never: str = "") -> list[SeenShapes]:
    made = pipeline([said] * 10, negative_prompt=[never] * 10, num_inference_steps=12,
                    guidance_scale=4.0, generator=[_generator(seed) for seed in range(10)],
                    output_type="np").images  # fmt: skip
    return [see_shapes(pixels, things=1) for pixels in (np.asarray(made) * 255).astype(np.uint8)]


def _drawn(picture: Single) -> Image.Image:
    return Image.fromarray(draw(picture, 256, 256, Random(1)))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _share_of(pixels: Pixels, colour: Colour) -> float:
    away = pixels.astype(float) - np.asarray(PALETTE[colour])
    return float(((away**2).sum(-1) < 60**2).mean())
