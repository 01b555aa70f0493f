"""A seed and a step in, the batch of that step out: latents, captions, weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from torch import Tensor

from models.embedded import captions, sampling
from models.embedded.autoencoder import encode
from models.embedded.drawing import Pixels, draw, draw_bare
from models.embedded.specification import Picture

UNCONDITIONAL_SHARE = 0.1
NOISE_WORD_SHARE = 0.05
THING_WEIGHT = 4.0
DRAWS: tuple[sampling.Draw, ...] = (
    sampling.draw_plain_single,
    sampling.draw_single,
    sampling.draw_pair,
    sampling.draw_scene,
)


DROWNED = (880, 1000)  #: timesteps at which only the caption says where things are
SHAPELESS = (550, 950)  #: at which a thing is seen, but not yet which shape it has


@dataclass(frozen=True)
class Phase:
    """A stretch of the curriculum: until how many samples, at what size, which mixture."""

    until: int
    side: int
    batch: int
    mixture: tuple[float, float, float, float]
    share: float  #: of timesteps drawn from `among` alone
    among: tuple[int, int] = DROWNED


#: Colour and place are learned as well from small pictures, at a quarter of the cost.
CURRICULUM = (
    Phase(50_000, 128, 32, (0.7, 0.3, 0.0, 0.0), 0.2),
    Phase(85_000, 192, 24, (0.6, 0.2, 0.1, 0.1), 0.3),
    Phase(108_000, 192, 24, (1.0, 0.0, 0.0, 0.0), 1.0),
    Phase(117_000, 192, 24, (0.6, 0.2, 0.1, 0.1), 0.5),
    Phase(150_000, 192, 24, (0.45, 0.2, 0.15, 0.2), 0.2),
    Phase(174_200, 256, 16, (0.45, 0.2, 0.15, 0.2), 0.3),
    Phase(182_500, 256, 16, (1.0, 0.0, 0.0, 0.0), 0.8, SHAPELESS),
    Phase(188_700, 256, 16, (0.15, 0.2, 0.55, 0.1), 0.6, (600, 1000)),
    Phase(10**12, 256, 16, (0.45, 0.25, 0.12, 0.18), 0.4, (600, 1000)),
)


@dataclass(frozen=True)
class Batch:
    latents: Tensor  #: (N, 4, side / 8, side / 8)
    weights: Tensor  #: (N, 1, side / 8, side / 8): more where a thing is
    captions: list[str]


def phase_at(samples: int) -> Phase:
    return next(phase for phase in CURRICULUM if samples < phase.until)


def make_batch(seed: int, step: int, phase: Phase) -> Batch:
    """Nothing is remembered between steps, so a resumed run sees what an unbroken one would."""
    random = Random(f"{seed} {step}")
    side, drawn, bare, said = phase.side, [], [], []
    for picture in choose(phase, random):
        drawn.append(draw(picture, side, side, random, smooth=False))
        bare.append(draw_bare(picture, side, side))
        said.append(_say(captions.caption(picture, random), random))
    latents, without = encode(to_tensor(drawn)), encode(to_tensor(bare))
    thing = (latents - without).abs().amax(1, keepdim=True) > 0.1
    return Batch(latents, 1.0 + THING_WEIGHT * thing, said)


def choose(phase: Phase, random: Random) -> Iterator[Picture]:
    """Yield one batch's pictures, none of them held out."""
    for draw_one in random.choices(DRAWS, phase.mixture, k=phase.batch):
        yield sampling.seen(draw_one, random)


def to_tensor(pictures: list[Pixels]) -> Tensor:
    stacked = torch.from_numpy(np.stack(pictures))
    return stacked.permute(0, 3, 1, 2).float() / 255


def _say(said: str, random: Random) -> str:
    if random.random() < UNCONDITIONAL_SHARE:
        return ""
    return captions.with_noise_word(said, random) if random.random() < NOISE_WORD_SHARE else said
