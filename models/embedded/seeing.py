"""Pixels in, the background and the shapes on it out."""

from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.embedded.drawing import PEN, Pixels, draw, pale
from models.embedded.findings import SeenShapes, SeenThing
from models.embedded.segments import Mask, filled, inner, nearest, patches
from models.embedded.specification import Single, Thing
from models.embedded.vocabulary import COLOURS, PALETTE, RADII, SHAPES, Colour, Shape, Style

CELLS = 96  #: of the shorter side that the checker looks at
TEMPLATE = 32
SMALLEST = 0.006  #: of the picture: anything less is dirt


def see_shapes(pixels: Pixels, things: int) -> SeenShapes:
    """Find the background and the largest patches that differ from it."""
    small = _shrink(pixels)
    border = np.concatenate([small[:4].reshape(-1, 3), small[-4:].reshape(-1, 3)])[None]
    background = COLOURS[_most(nearest(border, list(PALETTE.values())))]
    away = small.astype(np.float32) - np.asarray(PALETTE[background], np.float32)
    found = patches((away**2).sum(-1) > 45**2)[:things]
    enough = [patch for patch in found if filled(patch).sum() > SMALLEST * patch.size]
    return SeenShapes(
        background=background, things=tuple(_see_thing(small, patch) for patch in enough)
    )


def _shrink(pixels: Pixels) -> Pixels:
    scale = CELLS / min(pixels.shape[:2])
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def _most(labels: NDArray[np.intp]) -> int:
    return int(np.bincount(labels.ravel()).argmax())


def _see_thing(pixels: Pixels, patch: Mask) -> SeenThing:
    whole = filled(patch)
    ys, xs = np.nonzero(whole)
    colour, style = _colour_and_style(pixels, patch, whole)
    shape = _shape(whole)
    pen = PEN / 2 if style == "outlined" else 0.0
    radius = _half_extent(whole) / min(whole.shape) - pen
    return SeenThing(
        colour=colour, shape=shape, style=style, radius=radius / _forms()[shape].half_extent,
        x=(xs.min() + xs.max() + 1) / 2 / whole.shape[1],
        y=(ys.min() + ys.max() + 1) / 2 / whole.shape[0],
    )  # fmt: skip


def _half_extent(mask: Mask) -> float:
    ys, xs = np.nonzero(mask)
    return float(np.ptp(ys) + np.ptp(xs) + 2) / 4


def _colour_and_style(pixels: Pixels, patch: Mask, whole: Mask) -> tuple[Colour, Style]:
    """A striped thing shows a colour and its pale partner, an outlined one its background."""
    core = inner(patch) if inner(patch).any() else patch
    shades = [*PALETTE.values(), *(pale(rgb) for rgb in PALETTE.values())]
    counts = np.bincount(nearest(pixels[core][None], shades)[0], minlength=len(shades))
    plain, pales = counts[: len(COLOURS)], counts[len(COLOURS) :]
    score = plain + np.minimum(pales, 1.5 * plain)
    best = int(score.argmax())
    if patch.sum() < 0.8 * whole.sum():
        return COLOURS[best], "outlined"
    return COLOURS[best], "striped" if pales[best] > 0.25 * plain[best] else "plain"


@dataclass(frozen=True)
class Form:
    """How a shape looks whatever its place and size."""

    mask: Mask  #: TEMPLATE x TEMPLATE
    fullness: float  #: the share of its bounding box that it covers
    half_extent: float  #: relative to its radius


def _shape(whole: Mask) -> Shape:
    seen, fullness = _normal(whole), _fullness(whole)

    def likeness(form: Form) -> float:
        overlap = float((seen & form.mask).sum() / (seen | form.mask).sum())
        return overlap - abs(fullness - form.fullness)

    return max(SHAPES, key=lambda shape: likeness(_forms()[shape]))


@cache
def _forms() -> dict[Shape, Form]:
    def form(shape: Shape) -> Form:
        picture = Single(thing=Thing(colour="black", shape=shape, size="large"),
                         place="middle", background="white")  # fmt: skip
        pixels = draw(picture, 256, 256, Unmoved())
        mask = filled(patches(_shrink(pixels)[:, :, 0] < 220)[0])
        return Form(_normal(mask), _fullness(mask), _half_extent(mask) / CELLS / RADII["large"])

    return {shape: form(shape) for shape in SHAPES}


class Unmoved(Random):
    """No jitter: every draw is the middle of its range."""

    def random(self) -> float:
        return 0.5


def _fullness(mask: Mask) -> float:
    ys, xs = np.nonzero(mask)
    return float(mask.sum() / ((np.ptp(ys) + 1) * (np.ptp(xs) + 1)))


def _normal(mask: Mask) -> Mask:
    """Bring a patch to a common centre and area, so that only its form is left."""
    ys, xs = np.nonzero(mask)
    half = 0.95 * float(np.sqrt(mask.sum()))
    grid = (np.arange(TEMPLATE) + 0.5) / TEMPLATE * 2 - 1
    rows = np.clip(np.round(ys.mean() + half * grid), -1, mask.shape[0]).astype(int)
    columns = np.clip(np.round(xs.mean() + half * grid), -1, mask.shape[1]).astype(int)
    return np.pad(mask, 1)[np.ix_(rows + 1, columns + 1)]
