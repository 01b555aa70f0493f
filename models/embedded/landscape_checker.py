"""A scene's specification and pixels in, a check of each named element out."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.embedded.findings import Check
from models.embedded.segments import Mask, nearest
from models.embedded.specification import Scene
from models.embedded.vocabulary import (
    BOAT_COLOURS,
    CROWN,
    GROUNDS,
    HILLS,
    HOUSE_COLOURS,
    LIGHT,
    PALETTE,
    RGB,
    ROOF,
    SAIL,
    SEA,
    SKY,
    TIMES,
    BoatColour,
    Ground,
    HouseColour,
    Time,
)

SIDE = 96


def check_scene(scene: Scene, pixels: NDArray[np.uint8]) -> tuple[Check, ...]:
    """Check time, ground and each thing named; a thing not named must not be there."""
    size = (SIDE, SIDE)
    small = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
    time, ground = _time_and_ground(small)
    rights = [
        time == scene.time,
        ground == scene.ground,
        _has_light(small, scene.time) == scene.luminary,
    ]
    if scene.ground == "hills":
        rights.append(_house(small, scene.time) == scene.house)
        rights.append(_has_tree(small, scene.time) == scene.tree)
    else:
        rights.append(_boat(small, scene.time) == scene.boat)
    return tuple(Check(aspect="element", right=right) for right in rights)


def _time_and_ground(pixels: NDArray[np.uint8]) -> tuple[Time, Ground]:
    sky = nearest(pixels[: SIDE // 10], [SKY[time] for time in TIMES])
    time = TIMES[int(np.bincount(sky.ravel()).argmax())]
    both: dict[Ground, RGB] = {"sea": SEA[time], "hills": HILLS[time]}
    bottom = nearest(pixels[-SIDE // 12 :], [both[ground] for ground in GROUNDS])
    return time, GROUNDS[int(np.bincount(bottom.ravel()).argmax())]


def _has_light(pixels: NDArray[np.uint8], time: Time) -> bool:
    top = pixels[: int(0.38 * SIDE)]
    return _share(nearest(top, [SKY[time], LIGHT[time], SAIL, ROOF]) == 1) > 0.006


def _house(pixels: NDArray[np.uint8], time: Time) -> HouseColour | None:
    """Find the roof by its colour, then name the wall below it."""
    known = [SKY[time], HILLS[time], ROOF, CROWN, *(PALETTE[name] for name in HOUSE_COLOURS)]
    labels = nearest(pixels, known)
    band = np.zeros((SIDE, SIDE), bool)
    band[int(0.44 * SIDE) : int(0.68 * SIDE)] = True
    roof = (labels == 2) & band
    if _share(roof) < 0.008:
        return None
    middle = int(np.median(np.nonzero(roof)[1]))
    left, right = max(0, middle - SIDE // 9), min(SIDE, middle + SIDE // 9)
    wall = labels[int(0.65 * SIDE) : int(0.81 * SIDE), left:right]
    counts = [(wall == 4 + index).sum() for index in range(len(HOUSE_COLOURS))]
    return HOUSE_COLOURS[int(np.argmax(counts))] if max(counts) > 0.3 * wall.size else None


def _has_tree(pixels: NDArray[np.uint8], time: Time) -> bool:
    known = [SKY[time], HILLS[time], ROOF, CROWN, *(PALETTE[name] for name in HOUSE_COLOURS)]
    band = pixels[int(0.38 * SIDE) : int(0.72 * SIDE)]
    return bool((nearest(band, known) == 3).sum() > 0.02 * SIDE**2)


def _boat(pixels: NDArray[np.uint8], time: Time) -> BoatColour | None:
    """A boat needs its sail above the deck and a hull of one of the colours below."""
    known = [SKY[time], SEA[time], SAIL, *(PALETTE[name] for name in BOAT_COLOURS)]
    labels = nearest(pixels, known)
    sail = labels[int(0.38 * SIDE) : int(0.74 * SIDE)] == 2
    hull = labels[int(0.72 * SIDE) : int(0.88 * SIDE)]
    counts = [(hull == 3 + index).sum() for index in range(len(BOAT_COLOURS))]
    there = sail.sum() > 0.007 * SIDE**2 and max(counts) > 0.012 * SIDE**2
    return BOAT_COLOURS[int(np.argmax(counts))] if there else None


def _share(mask: Mask) -> float:
    return float(mask.sum()) / SIDE**2
