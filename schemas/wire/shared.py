"""What every dialect says alike: where a picture is, and why there is none."""

from typing import Final

from schemas.common import Value
from schemas.images import Picture
from schemas.jobs import Run, Status

PICTURES_PATH: Final = "/static/uploads/"


class PlainRefusal(Value):
    """The answer to a request that is refused, in dialects that say why and no more."""

    error: str


def picture_url(picture: Picture, origin: str) -> str:
    return f"{origin}{PICTURES_PATH}{picture.relative_path}"


def error_message(run: Run) -> str | None:
    """Of a run that has ended without pictures; says "cancelled" where it was."""
    if run.status not in (Status.FAILED, Status.CANCELLED):
        return None
    message = run.failure.message if run.failure else "The generation failed"
    if run.status is Status.CANCELLED and "cancelled" not in message:
        return f"The job was cancelled: {message}"
    return message
