"""A picture's specification in, its pixels out: (height, width, 3) uint8, about a millisecond."""

from math import cos, pi, sin
from random import Random
from typing import assert_never

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.embedded.landscape import draw_landscape
from models.embedded.specification import Pair, Picture, Scene, Single, Thing
from models.embedded.vocabulary import PALETTE, PLACE_CENTRES, RADII, RGB, Colour, Relation, Shape

Pixels = NDArray[np.uint8]
Points = list[tuple[float, float]]
Bare = Scene | Colour  #: an empty landscape, or one colour all over

_HEART = [
    (16 * sin(t) ** 3 / 17, -(13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t)) / 17)
    for t in (2 * pi * k / 60 for k in range(60))
]
_OUTLINES: dict[Shape, Points] = {
    "circle": [(cos(2 * pi * k / 72), sin(2 * pi * k / 72)) for k in range(72)],
    "square": [(-0.87, -0.87), (0.87, -0.87), (0.87, 0.87), (-0.87, 0.87)],
    "triangle": [(0, -1), (1.04, 0.85), (-1.04, 0.85)],
    "diamond": [(0, -1.12), (0.8, 0), (0, 1.12), (-0.8, 0)],
    "heart": [(1.06 * x, 1.06 * y + 0.02) for x, y in _HEART],
    "star": [
        ((1.12 if k % 2 == 0 else 0.48) * sin(pi * k / 5),
         (-1.12 if k % 2 == 0 else -0.48) * cos(pi * k / 5) + 0.06)
        for k in range(10)
    ],
}  # fmt: skip
PEN = 0.05  #: width of an outline as a fraction of the shorter side
_OFFSETS: dict[Relation, tuple[float, float]] = {
    "above": (0, -0.23), "below": (0, 0.23), "left of": (-0.23, 0), "right of": (0.23, 0),
}  # fmt: skip


def draw(picture: Picture, width: int, height: int, random: Random, smooth: bool = True) -> Pixels:
    """Draw with a little jitter in place and size; `smooth` antialiases by 2 x 2 samples."""
    scale = 2 if smooth else 1
    size = (width * scale, height * scale)
    match picture:
        case Single():
            image = _draw_single(picture, size, random)
        case Pair():
            image = _draw_pair(picture, size, random)
        case Scene():
            image = draw_landscape(picture, size, random)
        case _:
            assert_never(picture)
    return np.asarray(image.reduce(scale) if smooth else image)


def bare_of(picture: Picture) -> Bare:
    """Return what is left of a picture when the things that its caption names are taken out."""
    if isinstance(picture, Scene):
        return Scene(time=picture.time, ground=picture.ground, luminary=False)
    return picture.background


def draw_bare(bare: Bare, width: int, height: int) -> Pixels:
    if isinstance(bare, Scene):
        return draw(bare, width, height, Random(0), smooth=False)
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = PALETTE[bare]
    return canvas


def _draw_single(picture: Single, size: tuple[int, int], random: Random) -> Image.Image:
    image = Image.new("RGB", size, PALETTE[picture.background])
    x, y = PLACE_CENTRES[picture.place]
    centre = ((x + _jitter(random)) * size[0], (y + _jitter(random)) * size[1])
    radius = RADII[picture.thing.size] * min(size) * random.uniform(0.94, 1.06)
    _draw_thing(image, picture.thing, centre, radius)
    return image


def _draw_pair(picture: Pair, size: tuple[int, int], random: Random) -> Image.Image:
    image = Image.new("RGB", size, PALETTE[picture.background])
    dx, dy = _OFFSETS[picture.relation]
    for thing, sign in ((picture.first, 1), (picture.second, -1)):
        x, y = 0.5 + sign * dx + _jitter(random), 0.5 + sign * dy + _jitter(random)
        radius = 0.165 * min(size) * random.uniform(0.94, 1.06)
        _draw_thing(image, thing, (x * size[0], y * size[1]), radius)
    return image


def _jitter(random: Random) -> float:
    return random.uniform(-0.02, 0.02)


def _draw_thing(
    image: Image.Image, thing: Thing, centre: tuple[float, float], radius: float
) -> None:
    outline = _OUTLINES[thing.shape]
    points = [(centre[0] + radius * x, centre[1] + radius * y) for x, y in outline]
    pen, colour = ImageDraw.Draw(image), PALETTE[thing.colour]
    if thing.style == "outlined":
        pen.line([*points, *points[:2]], fill=colour, width=round(min(image.size) * PEN),
                 joint="curve")  # fmt: skip
        return
    pen.polygon(points, fill=colour)
    if thing.style == "striped":
        _stripe(image, points, pale(colour), min(image.size) * 0.055)


def _stripe(image: Image.Image, points: Points, colour: RGB, thickness: float) -> None:
    """Lay level stripes over the shape, counted from its top."""
    inside = Image.new("1", image.size)
    ImageDraw.Draw(inside).polygon(points, fill=1)
    stripes = Image.new("1", image.size)
    pen, top, bottom = ImageDraw.Draw(stripes), *_extent(points)
    edge = top + thickness
    while edge < bottom:
        pen.rectangle((0, edge, image.width, edge + thickness), fill=1)
        edge += 2 * thickness
    both = Image.fromarray(np.asarray(inside) & np.asarray(stripes))
    image.paste(colour, (0, 0), both)


def _extent(points: Points) -> tuple[float, float]:
    return min(y for _, y in points), max(y for _, y in points)


def pale(colour: RGB) -> RGB:
    """Return the second colour of a striped thing."""
    towards, share = (255, 0.6) if min(colour) < 240 else (0, 0.4)
    red, green, blue = (round(c + (towards - c) * share) for c in colour)
    return red, green, blue
