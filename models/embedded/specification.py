"""What a drawn picture shows, as values; and which combinations training never sees."""

import hashlib

from pydantic import BaseModel, ConfigDict

from models.embedded.vocabulary import (
    BoatColour,
    Colour,
    Ground,
    HouseColour,
    Place,
    Relation,
    Shape,
    Size,
    Style,
    Time,
)

HELD_OUT_IN = 10  #: one combination in so many is held out


class Thing(BaseModel):
    """One shape."""

    model_config = ConfigDict(frozen=True)

    colour: Colour
    shape: Shape
    size: Size = "medium"
    style: Style = "plain"


class Single(BaseModel):
    """One shape at a place."""

    model_config = ConfigDict(frozen=True)

    thing: Thing
    place: Place
    background: Colour

    @property
    def combination(self) -> str:
        return f"{self.thing.colour} {self.thing.shape} {self.place}"


class Pair(BaseModel):
    """`first` stands in `relation` to `second`."""

    model_config = ConfigDict(frozen=True)

    first: Thing
    second: Thing
    relation: Relation
    background: Colour

    @property
    def combination(self) -> str:
        """Named from the left or upper one, so that both ways to say it share a fate."""
        one, other = (
            f"{self.first.colour} {self.first.shape}",
            (f"{self.second.colour} {self.second.shape}"),
        )
        axis = "beside" if self.relation in ("left of", "right of") else "over"
        if self.relation in ("right of", "below"):
            one, other = other, one
        return f"{one} {axis} {other}"


class Scene(BaseModel):
    """A picture-book landscape; a house and a tree stand on hills, a boat swims on the sea."""

    model_config = ConfigDict(frozen=True)

    time: Time
    ground: Ground
    luminary: bool
    house: HouseColour | None = None
    tree: bool = False
    boat: BoatColour | None = None

    @property
    def combination(self) -> str:
        return f"{self.time} {self.ground} {self.luminary} {self.house} {self.tree} {self.boat}"


Picture = Single | Pair | Scene


def held_out(picture: Picture) -> bool:
    """Tell by a hash of the combination, so that no list can drift from the sampler."""
    key = f"{type(picture).__name__} {picture.combination}"
    return hashlib.sha256(key.encode()).digest()[0] % HELD_OUT_IN == 0
