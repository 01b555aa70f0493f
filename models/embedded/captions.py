"""A picture's specification in, one of many ways to say it out."""

from random import Random
from string import ascii_lowercase
from typing import assert_never

from models.embedded.specification import Pair, Picture, Scene, Single, Thing
from models.embedded.vocabulary import Colour, Place, Relation

_SIZES = {"small": ("small", "little"), "large": ("large", "big"), "medium": ("",)}
_RELATIONS: dict[Relation, tuple[str, ...]] = {
    "above": ("above", "over"),
    "below": ("below", "under"),
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
}
_TIMES = {
    "day": ("by day", "in the daytime", "in the day"),
    "sunset": ("at sunset", "in the evening"),
    "night": ("at night", "in the night"),
}


def caption(picture: Picture, random: Random) -> str:
    """Say everything that the specification says; what is usual may go unsaid."""
    match picture:
        case Single():
            said = _single(picture, random)
        case Pair():
            said = _pair(picture, random)
        case Scene():
            said = _scene(picture, random)
        case _:
            assert_never(picture)
    said = " ".join(said.split()).replace(" ,", ",")
    return said.replace("a orange", "an orange").replace("a outlined", "an outlined")


def with_noise_word(said: str, random: Random) -> str:
    """Insert a word that no vocabulary has: the model learns that such words mean nothing."""
    noise = "".join(random.choices(ascii_lowercase, k=random.randint(2, 7)))
    parts = said.split()
    parts.insert(random.randint(0, len(parts)), noise)
    return " ".join(parts)


def _single(picture: Single, random: Random) -> str:
    thing, ground = _thing(picture.thing, random), _background(picture.background, random)
    place = _place(picture.place, random)
    return random.choice(
        (
            f"a {thing} {place} on a {ground}",
            f"a {thing} on a {ground} {place}",
            f"a {thing} {place}, {ground}",
            f"{thing} {place} on {ground}",
            f"{ground}, {thing} {place}",
            f"a picture of a {thing} {place} on a {ground}",
        )
    )


def _pair(picture: Pair, random: Random) -> str:
    first, second = _thing(picture.first, random), _thing(picture.second, random)
    relation, ground = (
        random.choice(_RELATIONS[picture.relation]),
        _background(picture.background, random),
    )
    return random.choice(
        (
            f"a {first} {relation} a {second} on a {ground}",
            f"a {first} {relation} a {second}, {ground}",
            f"{first} {relation} {second} on {ground}",
            f"{ground}, a {first} {relation} a {second}",
        )
    )


def _scene(picture: Scene, random: Random) -> str:
    things = []
    if picture.house:
        things.append(f"a {picture.house} house")
    if picture.tree:
        things.append("a tree")
    if picture.boat:
        things.append(f"a {picture.boat} {random.choice(('boat', 'ship'))}")
    if picture.luminary:
        things.append("the moon" if picture.time == "night" else "the sun")
    random.shuffle(things)
    ground, time = f"the {picture.ground}", random.choice(_TIMES[picture.time])
    listed = " and ".join(filter(None, (", ".join(things[:-1]), *things[-1:])))
    choices = (
        (f"{listed} on {ground} {time}", f"{ground} {time} with {listed}",
         f"{listed}, {ground}, {time}", f"a picture of {ground} {time}, {listed}")
        if things
        else (f"{ground} {time}", f"a picture of {ground} {time}", f"a scene of {ground}, {time}")
    )  # fmt: skip
    return random.choice(choices)


def _thing(thing: Thing, random: Random) -> str:
    style = "" if thing.style == "plain" else thing.style
    size = random.choice(_SIZES[thing.size])
    return " ".join(filter(None, (size, style, thing.colour, thing.shape)))


def _background(colour: Colour, random: Random) -> str:
    return f"{colour} background"


def _place(place: Place, random: Random) -> str:
    if place == "middle":
        return random.choice(("", "", "in the middle", "in the centre", "in the center"))
    if place in ("left", "right"):
        return random.choice((f"on the {place}", f"at the {place}", f"on the {place} side"))
    if " " in place:
        return random.choice((f"at the {place}", f"in the {place} corner", f"in the {place}"))
    return f"at the {place}"
