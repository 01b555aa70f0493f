"""A specification and pixels in, a check of every named aspect out; nothing but pixels is used."""

from math import hypot
from typing import assert_never

from models.embedded.drawing import Pixels
from models.embedded.findings import Check, SeenShapes, SeenThing
from models.embedded.landscape_checker import check_scene
from models.embedded.seeing import see_shapes
from models.embedded.specification import Pair, Picture, Scene, Single
from models.embedded.vocabulary import PLACE_CENTRES, RADII, Relation, Size


def check(picture: Picture, pixels: Pixels) -> tuple[Check, ...]:
    """Say for each aspect of the specification whether the picture shows it."""
    match picture:
        case Single():
            return _check_single(picture, see_shapes(pixels, things=1))
        case Pair():
            return _check_pair(picture, see_shapes(pixels, things=2))
        case Scene():
            return check_scene(picture, pixels)
        case _:
            assert_never(picture)


def _check_single(picture: Single, seen: SeenShapes) -> tuple[Check, ...]:
    thing = seen.things[0] if seen.things else None
    wanted, place = picture.thing, PLACE_CENTRES[picture.place]
    return (
        Check(aspect="background", right=seen.background == picture.background),
        Check(aspect="colour", right=bool(thing and thing.colour == wanted.colour)),
        Check(aspect="shape", right=bool(thing and thing.shape == wanted.shape)),
        Check(aspect="place", right=bool(
            thing and max(abs(thing.x - place[0]), abs(thing.y - place[1])) < 0.125)),
        Check(aspect="size", right=bool(thing and _size(thing) == wanted.size)),
        Check(aspect="style", right=bool(thing and thing.style == wanted.style)),
    )  # fmt: skip


def _size(thing: SeenThing) -> Size:
    return min(RADII, key=lambda size: abs(RADII[size] - thing.radius))


def _check_pair(picture: Pair, seen: SeenShapes) -> tuple[Check, ...]:
    """Give each wanted thing the found one of its colour; the rest follows from that."""
    found = list(seen.things)
    if len(found) == 2 and found[0].colour == picture.second.colour:
        found.reverse()
    both = len(found) == 2
    wanted = (picture.first, picture.second)
    return (
        Check(aspect="background", right=seen.background == picture.background),
        Check(aspect="colour", right=both and all(
            thing.colour == want.colour for thing, want in zip(found, wanted, strict=True))),
        Check(aspect="shape", right=both and all(
            thing.shape == want.shape for thing, want in zip(found, wanted, strict=True))),
        Check(aspect="relation", right=both and _relation(found[0], found[1]) == picture.relation),
    )  # fmt: skip


def _relation(first: SeenThing, second: SeenThing) -> Relation | None:
    dx, dy = first.x - second.x, first.y - second.y
    if hypot(dx, dy) < 0.15:
        return None
    if abs(dx) > abs(dy):
        return "left of" if dx < 0 else "right of"
    return "above" if dy < 0 else "below"
