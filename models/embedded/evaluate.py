"""A model folder in, a report of what its pictures show out, with grids.

`python -m models.embedded.evaluate`; the defaults are those of `standard` in `models.yaml`.
"""

import argparse
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from models.embedded import captions, sampling
from models.embedded.checker import check
from models.embedded.drawing import Pixels
from models.embedded.findings import Check
from models.embedded.report import Row, write_report
from models.embedded.specification import Picture, held_out

KINDS: dict[str, tuple[sampling.Draw, float]] = {
    "single": (sampling.draw_single, 0.5),
    "pair": (sampling.draw_pair, 0.25),
    "scene": (sampling.draw_scene, 0.25),
}
HELD_OUT_SHARE = 0.3


@dataclass(frozen=True)
class Prompt:
    kind: str
    picture: Picture
    text: str


@dataclass(frozen=True)
class Settings:
    steps: int
    guidance: float
    side: int
    batch: int


def choose_prompts(count: int, seed: int) -> list[Prompt]:
    """Draw a fixed share of each kind, and of each kind a fixed share of held-out ones."""
    prompts = []
    for kind, (draw_one, share) in KINDS.items():
        random = Random(f"evaluation {seed} {kind}")
        for index in range(round(count * share)):
            choose = sampling.unseen if index % 10 < 10 * HELD_OUT_SHARE else sampling.seen
            picture = choose(draw_one, random)
            prompts.append(Prompt(kind, picture, captions.caption(picture, random)))
    return prompts


def paint(pipeline: DiffusionPipeline, texts: list[str], settings: Settings, seed: int) -> Pixels:
    made = pipeline(
        texts,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        height=settings.side,
        width=settings.side,
        generator=[torch.Generator().manual_seed(seed + index) for index in range(len(texts))],
        output_type="np",
    ).images
    return (np.asarray(made) * 255).round().astype(np.uint8)


def evaluate(pipeline: DiffusionPipeline, prompts: list[Prompt], settings: Settings, grid: Path,
             seed: int) -> list[Row]:  # fmt: skip
    """Paint and check every prompt; keep the first of each kind as a grid."""
    rows, kept = [], dict[str, list[Pixels]]()
    for at in range(0, len(prompts), settings.batch):
        some = prompts[at : at + settings.batch]
        pixels = paint(pipeline, [prompt.text for prompt in some], settings, seed + at)
        for prompt, picture in zip(some, pixels, strict=True):
            checks: tuple[Check, ...] = check(prompt.picture, picture)
            rows.append(Row(prompt.kind, held_out(prompt.picture), prompt.text, checks))
            kept.setdefault(prompt.kind, []).append(picture)
    for kind, pictures in kept.items():
        save_grid(pictures[:24], grid / f"embedded-{kind}.png")
    return rows


def save_grid(pictures: list[Pixels], path: Path, columns: int = 8, side: int = 128) -> None:
    """Write rows of thumbnails in the order of the prompts."""
    height = -(-len(pictures) // columns)
    grid = Image.new("RGB", (columns * side, height * side), "white")
    for index, picture in enumerate(pictures):
        thumbnail = Image.fromarray(picture).resize((side, side), Image.Resampling.BOX)
        grid.paste(thumbnail, (index % columns * side, index // columns * side))
    path.parent.mkdir(parents=True, exist_ok=True)
    grid.save(path, optimize=True)


def seconds_per_picture(pipeline: DiffusionPipeline, steps: int, guidance: float) -> float:
    """Return the CPU seconds of one 256 x 256 picture on one thread, the middle of three."""
    settings = Settings(steps, guidance, 256, 1)
    spent = []
    for _ in range(4):
        before = time.process_time()
        paint(pipeline, ["a red circle on a blue background"], settings, 0)
        spent.append(time.process_time() - before)
    return sorted(spent[1:])[1]


def machine() -> str:
    """Name the processor as far as the system does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/darkroom-small"))
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = DiffusionPipeline.from_pretrained(arguments.model, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    settings = Settings(arguments.steps, arguments.guidance, arguments.side, 10)
    prompts = choose_prompts(arguments.prompts, arguments.seed)
    rows = evaluate(pipeline, prompts, settings, arguments.out / "images", arguments.seed)
    costs = {
        "standard": seconds_per_picture(pipeline, arguments.steps, arguments.guidance),
        "draft": seconds_per_picture(pipeline, 8, arguments.guidance),
    }
    facts = (f"{arguments.steps} steps, guidance {arguments.guidance}, "
             f"{arguments.side} pixels a side, seed {arguments.seed}")  # fmt: skip
    write_report(arguments.out, rows, facts, costs, machine())


if __name__ == "__main__":
    main()
