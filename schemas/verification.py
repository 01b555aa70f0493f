"""A picture that was made again from its manifest, beside the one that is stored."""

from enum import StrEnum
from uuid import UUID

from schemas.common import Value


class Sameness(StrEnum):
    IDENTICAL = "identical"  #: every pixel
    CLOSE = "close"  #: no channel of a pixel is more than one level of 256 away
    DIFFERENT = "different"


class Difference(Value):
    """What determines the pixels and isn't as it was: a field of the manifest."""

    name: str
    was: str
    now: str


class Verification(Value):
    image_id: UUID
    result: Sameness
    psnr: float | None = None  #: decibels; None where no pixel differs, or the sizes do
    because: tuple[Difference, ...] = ()
