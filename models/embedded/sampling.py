"""A seeded random source in, picture specifications out; held-out ones only when asked for."""

from collections.abc import Callable
from random import Random

from models.embedded.specification import Pair, Picture, Scene, Single, Thing, held_out
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
    Colour,
    Size,
)

Draw = Callable[[Random], Picture]


def draw_single(random: Random) -> Single:
    colour, background = random.sample(COLOURS, 2)
    place = "middle" if random.random() < 0.1 else random.choice(PLACES)
    return Single(thing=_thing(random, colour), place=place, background=background)


def draw_plain_single(random: Random) -> Single:
    picture = draw_single(random)
    size = random.choice(("medium", "large"))
    thing = picture.thing.model_copy(update={"size": size, "style": "plain"})
    return picture.model_copy(update={"thing": thing})


def draw_pair(random: Random) -> Pair:
    first, second, background = random.sample(COLOURS, 3)
    return Pair(
        first=Thing(colour=first, shape=random.choice(SHAPES)),
        second=Thing(colour=second, shape=random.choice(SHAPES)),
        relation=random.choice(RELATIONS),
        background=background,
    )


def draw_scene(random: Random) -> Scene:
    ground = random.choice(GROUNDS)
    some = random.random
    hills = ground == "hills"
    return Scene(
        time=random.choice(TIMES),
        ground=ground,
        luminary=some() < 0.7,
        house=random.choice(HOUSE_COLOURS) if hills and some() < 0.6 else None,
        tree=hills and some() < 0.5,
        boat=random.choice(BOAT_COLOURS) if not hills and some() < 0.65 else None,
    )


def seen(draw: Draw, random: Random) -> Picture:
    """Draw until the combination is one that training may see."""
    while held_out(picture := draw(random)):
        pass
    return picture


def unseen(draw: Draw, random: Random) -> Picture:
    """Draw until the combination is a held-out one."""
    while not held_out(picture := draw(random)):
        pass
    return picture


def _thing(random: Random, colour: Colour) -> Thing:
    sizes: tuple[Size, ...] = ("medium", "medium", *SIZES)
    style = "plain" if random.random() < 0.6 else random.choice(STYLES)
    return Thing(colour=colour, shape=random.choice(SHAPES), size=random.choice(sizes), style=style)
