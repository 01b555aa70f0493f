"""An aspect ratio -> a size that a model makes well. Pure."""

import re
from math import sqrt
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.errors import InvalidAspectRatio, InvalidSize

Pixels = Annotated[int, Field(ge=8, le=8192)]

WIDEST = 4  #: aspect ratios go from 1:4 to 4:1


class Entry(BaseModel):
    """What a person wrote into the catalogue: a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Size(Entry):
    width: int
    height: int


class Sizes(Entry):
    native: tuple[Pixels, Pixels]  #: width and height that the model was trained at
    smallest: Pixels = 256  #: of either side
    largest: Pixels = 2048  #: of either side
    multiple_of: Annotated[int, Field(ge=8)] = 8
    by_ratio: dict[str, tuple[Pixels, Pixels]] = Field(default_factory=dict)  #: else computed

    @model_validator(mode="after")
    def _agree(self) -> Self:
        try:
            for size in (self.native, *self.by_ratio.values()):
                self.check(*size)
        except InvalidSize as error:
            raise ValueError(error.message) from error
        return self

    @property
    def default(self) -> Size:
        return Size(width=self.native[0], height=self.native[1])

    def for_ratio(self, ratio: str) -> Size:
        """The written one, else the one nearest to the native number of pixels."""
        wide, high = parse_ratio(ratio)
        if written := self.by_ratio.get(ratio):
            return Size(width=written[0], height=written[1])
        area = self.native[0] * self.native[1]
        width, height = sqrt(area * wide / high), sqrt(area * high / wide)
        return Size(width=self._side(width), height=self._side(height))

    def _side(self, pixels: float) -> int:
        nearest = round(pixels / self.multiple_of) * self.multiple_of
        return min(max(nearest, self.smallest), self.largest)

    def check(self, width: int, height: int) -> None:
        for name, pixels in (("width", width), ("height", height)):
            if pixels % self.multiple_of:
                raise InvalidSize(f"{name} must be a multiple of {self.multiple_of}")
            if not self.smallest <= pixels <= self.largest:
                raise InvalidSize(f"{name} must be {self.smallest} to {self.largest}")


def parse_ratio(ratio: str) -> tuple[int, int]:
    """ "16:9" -> (16, 9); raise `InvalidAspectRatio` outside 1:4 … 4:1."""
    matched = re.fullmatch(r"([1-9][0-9]{0,4}):([1-9][0-9]{0,4})", ratio)
    if matched is None:
        raise InvalidAspectRatio
    wide, high = int(matched[1]), int(matched[2])
    if wide > high * WIDEST or high > wide * WIDEST:
        raise InvalidAspectRatio
    return wide, high
