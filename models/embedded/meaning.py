"""A specification in, what a caption of it says out: one class for each question, 0 for unsaid."""

from typing import assert_never

from models.embedded.specification import Pair, Picture, Scene, Single, Thing
from models.embedded.vocabulary import (
    BOAT_COLOURS,
    COLOURS,
    GROUNDS,
    HOUSE_COLOURS,
    PLACES,
    RELATIONS,
    SHAPES,
    SIZES,
    STYLES,
    TIMES,
    Relation,
)

#: How many answers each question about a thing has: colour, shape, size, style, where it is.
THING = tuple(1 + len(names) for names in (COLOURS, SHAPES, SIZES, STYLES, (*PLACES, *RELATIONS)))
#: The same of all that is no thing: background, time, ground, luminary, house, tree, boat.
AROUND = (1 + len(COLOURS), 1 + len(TIMES), 1 + len(GROUNDS), 2, 1 + len(HOUSE_COLOURS), 2,
          1 + len(BOAT_COLOURS))  # fmt: skip
#: Asked of the last three tokens, which in a caption of usual length are padding.
QUESTIONS = (THING, THING, AROUND)

_NOTHING = (0,) * len(THING)
_OPPOSITE: dict[Relation, Relation] = {
    "above": "below", "below": "above", "left of": "right of", "right of": "left of",
}  # fmt: skip


def meaning(picture: Picture) -> tuple[int, ...]:
    """Answer the questions of `QUESTIONS` in order; things stand as the caption names them."""
    match picture:
        case Single():
            where = 1 + PLACES.index(picture.place)
            around = (1 + COLOURS.index(picture.background), 0, 0, 0, 0, 0, 0)
            return (*_thing(picture.thing, where), *_NOTHING, *around)
        case Pair():
            first = 1 + len(PLACES) + RELATIONS.index(picture.relation)
            second = 1 + len(PLACES) + RELATIONS.index(_OPPOSITE[picture.relation])
            around = (1 + COLOURS.index(picture.background), 0, 0, 0, 0, 0, 0)
            return (*_thing(picture.first, first), *_thing(picture.second, second), *around)
        case Scene():
            return (*_NOTHING, *_NOTHING, *_scene(picture))
        case _:
            assert_never(picture)


def _thing(thing: Thing, where: int) -> tuple[int, ...]:
    return (
        1 + COLOURS.index(thing.colour),
        1 + SHAPES.index(thing.shape),
        1 + SIZES.index(thing.size),
        1 + STYLES.index(thing.style),
        where,
    )


def _scene(scene: Scene) -> tuple[int, ...]:
    return (
        0,
        1 + TIMES.index(scene.time),
        1 + GROUNDS.index(scene.ground),
        int(scene.luminary),
        1 + HOUSE_COLOURS.index(scene.house) if scene.house else 0,
        int(scene.tree),
        1 + BOAT_COLOURS.index(scene.boat) if scene.boat else 0,
    )
