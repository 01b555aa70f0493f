"""A scene's specification in, a picture-book landscape out."""

from random import Random

from PIL import Image, ImageDraw

from models.embedded.specification import Scene
from models.embedded.vocabulary import (
    CROWN,
    HILLS,
    LIGHT,
    PALETTE,
    ROOF,
    SAIL,
    SEA,
    SKY,
    TRUNK,
)

HORIZON = 0.62  #: of the height


def draw_landscape(scene: Scene, size: tuple[int, int], random: Random) -> Image.Image:
    image = Image.new("RGB", size, SKY[scene.time])
    pen = ImageDraw.Draw(image)
    if scene.luminary:
        _draw_light(pen, scene, size, random)
    if scene.ground == "sea":
        pen.rectangle((0, HORIZON * size[1], *size), fill=SEA[scene.time])
        if scene.boat:
            _draw_boat(pen, scene, size, random)
        return image
    _draw_hills(pen, scene, size)
    if scene.house:
        _draw_house(pen, scene, size, 0.3 + random.uniform(-0.03, 0.03))
    if scene.tree:
        _draw_tree(pen, size, 0.72 + random.uniform(-0.03, 0.03))
    return image


def _draw_light(
    pen: ImageDraw.ImageDraw, scene: Scene, size: tuple[int, int], random: Random
) -> None:
    """Always on the right: no caption says where, and a side left open was painted twice."""
    x = (0.78 + random.uniform(-0.02, 0.02)) * size[0]
    y = (0.2 + random.uniform(-0.02, 0.02)) * size[1]
    radius = 0.1 * min(size)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=LIGHT[scene.time])
    if scene.time == "night":
        x += 0.75 * radius
        y -= 0.25 * radius
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=SKY[scene.time])


def _draw_hills(pen: ImageDraw.ImageDraw, scene: Scene, size: tuple[int, int]) -> None:
    width, height = size
    top = (HORIZON - 0.04) * height
    pen.ellipse((-0.35 * width, top, 0.75 * width, 1.9 * height), fill=HILLS[scene.time])
    pen.ellipse((0.3 * width, top, 1.4 * width, 1.9 * height), fill=HILLS[scene.time])
    pen.rectangle((0, 0.85 * height, width, height), fill=HILLS[scene.time])


def _draw_house(
    pen: ImageDraw.ImageDraw, scene: Scene, size: tuple[int, int], where: float
) -> None:
    assert scene.house is not None
    unit, x, bottom = min(size), where * size[0], 0.82 * size[1]
    half, tall = 0.13 * unit, 0.2 * unit
    pen.rectangle((x - half, bottom - tall, x + half, bottom), fill=PALETTE[scene.house])
    eaves = bottom - tall
    roof = [(x - 1.3 * half, eaves), (x + 1.3 * half, eaves), (x, eaves - 0.14 * unit)]
    pen.polygon(roof, fill=ROOF)
    pen.rectangle((x - 0.035 * unit, bottom - 0.1 * unit, x + 0.035 * unit, bottom), fill=TRUNK)


def _draw_tree(pen: ImageDraw.ImageDraw, size: tuple[int, int], where: float) -> None:
    unit, x, bottom = min(size), where * size[0], 0.84 * size[1]
    pen.rectangle((x - 0.025 * unit, bottom - 0.2 * unit, x + 0.025 * unit, bottom), fill=TRUNK)
    radius, y = 0.13 * unit, bottom - 0.28 * unit
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=CROWN)


def _draw_boat(
    pen: ImageDraw.ImageDraw, scene: Scene, size: tuple[int, int], random: Random
) -> None:
    assert scene.boat is not None
    unit, x = min(size), random.uniform(0.42, 0.58) * size[0]
    deck = 0.74 * size[1]
    hull = [(-0.2, 0), (0.2, 0), (0.13, 0.1), (-0.13, 0.1)]
    pen.polygon([(x + a * unit, deck + b * unit) for a, b in hull], fill=PALETTE[scene.boat])
    sail = [(0.015, -0.3), (0.015, -0.03), (0.17, -0.03)]
    pen.polygon([(x + a * unit, deck + b * unit) for a, b in sail], fill=SAIL)
    mast = (x - 0.012 * unit, deck - 0.32 * unit, x + 0.012 * unit, deck)
    pen.rectangle(mast, fill=TRUNK)
