"""Every word that the embedded model is taught, and what it looks like."""

from typing import Literal, get_args

Colour = Literal[
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "black"
]
Shape = Literal["circle", "square", "triangle", "star", "heart", "diamond"]
Size = Literal["small", "medium", "large"]
Style = Literal["plain", "striped", "outlined"]
Place = Literal[
    "top left", "top", "top right", "left", "middle", "right",
    "bottom left", "bottom", "bottom right",
]  # fmt: skip
Relation = Literal["above", "below", "left of", "right of"]
Time = Literal["day", "sunset", "night"]
Ground = Literal["sea", "hills"]
Luminary = Literal["sun", "moon"]
HouseColour = Literal["red", "yellow", "white", "brown"]
BoatColour = Literal["red", "yellow", "black"]

RGB = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = get_args(Colour)
SHAPES: tuple[Shape, ...] = get_args(Shape)
SIZES: tuple[Size, ...] = get_args(Size)
STYLES: tuple[Style, ...] = get_args(Style)
PLACES: tuple[Place, ...] = get_args(Place)
RELATIONS: tuple[Relation, ...] = get_args(Relation)
TIMES: tuple[Time, ...] = get_args(Time)
GROUNDS: tuple[Ground, ...] = get_args(Ground)
HOUSE_COLOURS: tuple[HouseColour, ...] = get_args(HouseColour)
BOAT_COLOURS: tuple[BoatColour, ...] = get_args(BoatColour)

#: Far enough apart that the nearest one names a pixel, even after a lossy decoder.
PALETTE: dict[Colour, RGB] = {
    "red": (220, 40, 40),
    "orange": (245, 140, 20),
    "yellow": (250, 220, 40),
    "green": (40, 160, 70),
    "blue": (40, 90, 220),
    "purple": (140, 50, 180),
    "pink": (250, 150, 200),
    "brown": (120, 75, 40),
    "white": (250, 250, 250),
    "black": (20, 20, 20),
}

SKY: dict[Time, RGB] = {"day": (140, 205, 250), "sunset": (250, 150, 90), "night": (25, 25, 75)}
LIGHT: dict[Time, RGB] = {"day": (255, 230, 50), "sunset": (255, 70, 40), "night": (245, 240, 205)}
SEA: dict[Time, RGB] = {"day": (30, 110, 190), "sunset": (110, 60, 130), "night": (15, 65, 120)}
HILLS: dict[Time, RGB] = {"day": (130, 200, 80), "sunset": (150, 140, 50), "night": (50, 85, 60)}
ROOF: RGB = (150, 45, 35)
TRUNK: RGB = (100, 65, 35)
CROWN: RGB = (20, 110, 45)
SAIL: RGB = (250, 250, 250)

#: Where a place's centre lies, as fractions of width and height.
PLACE_CENTRES: dict[Place, tuple[float, float]] = {
    place: (0.25 + 0.25 * (index % 3), 0.25 + 0.25 * (index // 3))
    for index, place in enumerate(PLACES)
}
#: Radius as a fraction of the shorter side.
RADII: dict[Size, float] = {"small": 0.125, "medium": 0.18, "large": 0.24}

#: Words of the templates; with the names above they make the whole vocabulary.
TEMPLATE_WORDS = (
    "a", "an", "the", "on", "in", "at", "of", "to", "with", "and", "is", "background", "picture",
    "drawing", "image", "side", "corner", "centre", "center", "big", "little", "solid", "filled",
    "one", "two", "above", "below", "under", "over", "left", "right", "top", "bottom", "upper",
    "lower", "simple", "colour", "color", "scene", "it", "there", "night", "day", "sunset",
    "daytime", "nighttime", "evening", "blue", "sky", "sea", "hills", "sun", "moon", "house",
    "tree", "boat", "ship", "by", "near", "book",
)  # fmt: skip


def words() -> tuple[str, ...]:
    """Return every known word once, in a fixed order: token ids depend on it."""
    names = [*COLOURS, *SHAPES, *SIZES, *STYLES, *PLACES, *RELATIONS, *TIMES, *GROUNDS]
    listed = [*(part for name in names for part in name.split()), *TEMPLATE_WORDS]
    return tuple(dict.fromkeys(listed))
