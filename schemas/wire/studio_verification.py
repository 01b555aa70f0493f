"""Studio's answer to "is this picture made as it says?". Pure: no I/O, no clock."""

from pydantic import Field

from schemas.verification import Sameness, Verification
from schemas.wire.studio import Camel


class ShownDifference(Camel):
    """What determines the pixels and isn't as it was."""

    name: str
    was: str
    now: str = Field(alias="is")


class ShownVerification(Camel):
    result: Sameness
    psnr: float | None  #: decibels; null where no pixel differs
    because: tuple[ShownDifference, ...]


def shown(verification: Verification) -> ShownVerification:
    return ShownVerification(
        result=verification.result,
        psnr=verification.psnr,
        because=tuple(ShownDifference(**dict(each)) for each in verification.because),
    )
