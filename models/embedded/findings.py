"""What the checker says of a picture: each aspect that its specification names, right or not."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from models.embedded.vocabulary import Colour, Shape, Style

Aspect = Literal["background", "colour", "shape", "place", "size", "style", "relation", "element"]


class SeenThing(BaseModel):
    """One shape as found in pixels; `x`, `y` and `radius` are fractions of the picture."""

    model_config = ConfigDict(frozen=True)

    colour: Colour
    shape: Shape
    style: Style
    x: float
    y: float
    radius: float


class SeenShapes(BaseModel):
    model_config = ConfigDict(frozen=True)

    background: Colour
    things: tuple[SeenThing, ...]  #: the largest first


class Check(BaseModel):
    """One thing the caption named, and whether the picture has it."""

    model_config = ConfigDict(frozen=True)

    aspect: Aspect
    right: bool
