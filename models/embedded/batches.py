"""A seed and a step in, the batch of that step out: latents, captions, weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np
import torch
from torch import Tensor, nn

from models.embedded import captions, sampling
from models.embedded.autoencoder import encode
from models.embedded.drawing import Bare, Pixels, bare_of, draw, draw_bare
from models.embedded.specification import Picture

UNCONDITIONAL_SHARE = 0.1
NOISE_WORD_SHARE = 0.05
THING_WEIGHT = 2.0  #: of a thing and its surroundings, against all of the picture
AROUND = 2  #: cells beyond a thing, where paint too much spoils its shape
DRAWS: tuple[sampling.Draw, ...] = (
    sampling.draw_plain_single,
    sampling.draw_single,
    sampling.draw_pair,
    sampling.draw_scene,
)


UNCERTAIN = (650, 1000)  #: timesteps at which the caption decides what is seen
DROWNED = (880, 1000)  #: at which only the caption says where things are
Size = tuple[int, int]  #: width and height in pixels


@dataclass(frozen=True)
class Phase:
    """A stretch of the curriculum: until how many samples, which mixture, at what sizes."""

    until: int
    mixture: tuple[float, float, float, float]
    batch: int = 32
    sizes: tuple[Size, ...] = ((256, 256),)
    share: float = 0.6  #: of timesteps drawn from `among` alone
    among: tuple[int, int] = UNCERTAIN


MOSTLY_256: tuple[Size, ...] = (
    *(((256, 256),) * 8), (128, 128), (192, 256), (256, 192), (320, 192),
)  # fmt: skip
CURRICULUM = (
    Phase(18_250, (0.55, 0.1, 0.3, 0.05)),
    Phase(26_000, (0.8, 0.0, 0.2, 0.0), share=0.85, among=DROWNED),
    Phase(36_440, (0.5, 0.05, 0.4, 0.05), share=0.7, among=(780, 1000)),
    Phase(40_590, (0.35, 0.15, 0.4, 0.1), 16, share=0.7, among=(750, 1000)),
    Phase(43_990, (0.2, 0.3, 0.3, 0.2), 16),
    Phase(68_624, (0.2, 0.3, 0.3, 0.2), 16, share=0.3, among=(700, 1000)),
    Phase(10**12, (0.1, 0.35, 0.42, 0.13), sizes=MOSTLY_256, share=0.3, among=(700, 1000)),
)


@dataclass(frozen=True)
class Batch:
    latents: Tensor  #: (N, 4, height / 8, width / 8)
    weights: Tensor  #: (N, 1, height / 8, width / 8): more where a thing is
    captions: list[str]


def phase_at(samples: int) -> Phase:
    return next(phase for phase in CURRICULUM if samples < phase.until)


def make_batch(seed: int, step: int, phase: Phase) -> Batch:
    """Nothing is remembered between steps, so a resumed run sees what an unbroken one would."""
    random = Random(f"{seed} {step}")
    (width, height), drawn, bare, said = random.choice(phase.sizes), [], [], []
    for picture in choose(phase, random):
        drawn.append(draw(picture, width, height, random, smooth=False))
        bare.append(_bare_latents(bare_of(picture), width, height))
        said.append(say(captions.caption(picture, random), random))
    latents = encode(to_tensor(drawn))
    thing = (latents - torch.stack(bare)).abs().amax(1, keepdim=True) > 0.1
    return Batch(latents, weigh(thing.float()), said)


@cache
def _bare_latents(bare: Bare, width: int, height: int) -> Tensor:
    return encode(to_tensor([draw_bare(bare, width, height)]))[0]


def weigh(thing: Tensor) -> Tensor:
    """Give a thing with what is around it the same weight in its picture, whatever its size."""
    near = nn.functional.max_pool2d(thing, 2 * AROUND + 1, stride=1, padding=AROUND)
    covered = near.mean((1, 2, 3), keepdim=True).clamp(min=0.05)
    return 1.0 + THING_WEIGHT * near / covered


def choose(phase: Phase, random: Random) -> Iterator[Picture]:
    """Yield one batch's pictures, none of them held out."""
    for draw_one in random.choices(DRAWS, phase.mixture, k=phase.batch):
        yield sampling.seen(draw_one, random)


def to_tensor(pictures: list[Pixels]) -> Tensor:
    stacked = torch.from_numpy(np.stack(pictures))
    return stacked.float().div_(255).permute(0, 3, 1, 2)


def say(said: str, random: Random) -> str:
    if random.random() < UNCONDITIONAL_SHARE:
        return ""
    return captions.with_noise_word(said, random) if random.random() < NOISE_WORD_SHARE else said
