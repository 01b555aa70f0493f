"""Every refusal, one class a reason; `code` is the stable public word, `status_code` HTTP's."""

from typing import ClassVar


class DarkroomError(Exception):
    """Something was refused; the docstring is the default message."""

    code: ClassVar[str] = "error"
    status_code: ClassVar[int] = 500

    def __init__(self, message: str | None = None, pointer: str = "") -> None:
        super().__init__(message or self.__doc__ or self.code)
        self.pointer = pointer  #: JSON Pointer (RFC 6901) of what is wrong in a request

    @property
    def message(self) -> str:
        return str(self)


class PermanentError(DarkroomError):
    """The generation can't succeed, however often it is tried."""

    code: ClassVar[str] = "generation_failed"
    status_code = 422


class InvalidRequest(DarkroomError):
    """The request is not valid."""

    code = "invalid_request"
    status_code = 422


class PromptRequired(InvalidRequest):
    """Prompt is required"""

    code = "prompt_required"


class InvalidAlias(InvalidRequest):
    """Invalid alias"""

    code = "invalid_alias"


class ReservedAlias(InvalidRequest):
    """Reserved alias"""

    code = "reserved_alias"


class AliasTaken(InvalidRequest):
    """Alias already exists"""

    code = "alias_taken"


class StillRunning(InvalidRequest):
    """The generation is still running"""

    code = "still_running"


class KeyEnded(InvalidRequest):
    """The key has ended, or was rotated before"""

    code = "key_ended"


class CannotVerify(InvalidRequest):
    """The picture can't be made again"""

    code = "cannot_verify"


class UnsupportedImage(InvalidRequest):
    """Unsupported image format"""

    code = "unsupported_image"


class FileTooLarge(InvalidRequest):
    """File too large"""

    code = "file_too_large"


class Unauthorized(DarkroomError):
    """The API key is missing, unknown, expired or revoked."""

    code = "unauthorized"
    status_code = 401


class InvalidToken(Unauthorized):
    """The token is missing, expired or not valid."""


class Forbidden(DarkroomError):
    """The API key may not do this."""

    code = "forbidden"
    status_code = 403


class LiveUrlRefused(Forbidden):
    """The live URL is not valid"""

    code = "live_url_refused"


class NotFound(DarkroomError):
    """There is no such thing here."""

    code = "not_found"
    status_code = 404


class ModelNotFound(NotFound):
    """There is no such model in the catalogue."""

    code = "model_not_found"


class GenerationNotFound(NotFound):
    """Generation not found"""

    code = "generation_not_found"


class FlowNotFound(NotFound):
    """Flow not found"""

    code = "flow_not_found"


class ImageNotFound(NotFound):
    """Image not found"""

    code = "image_not_found"


class KeyNotFound(NotFound):
    """Key not found"""

    code = "key_not_found"


class LiveUrlNotFound(NotFound):
    """Live URL not found"""

    code = "live_url_not_found"


class Gone(DarkroomError):
    """It was purged."""

    code = "gone"
    status_code = 410


class BodyTooLarge(DarkroomError):
    """The request body is too large."""

    code = "body_too_large"
    status_code = 413


class RangeNotSatisfiable(DarkroomError):
    """The range lies outside of the file."""

    code = "range_not_satisfiable"
    status_code = 416


class IdempotencyMismatch(DarkroomError):
    """This Idempotency-Key was used for another request."""

    code = "idempotency_mismatch"
    status_code = 422


class RateLimited(DarkroomError):
    """The key's rate limit is exceeded."""

    code = "rate_limited"
    status_code = 429

    def __init__(self, message: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after  #: seconds


class Unavailable(DarkroomError):
    """A part that this needs does not answer; try again shortly."""

    code = "unavailable"
    status_code = 503

    def __init__(self, message: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after  #: seconds


class NotReady(Unavailable):
    """The picture is not ready yet; ask again."""

    code = "not_ready"


class NotMade(Unavailable):
    """The picture could not be made; it may be tried again later."""

    code = "generation_failed"


class UpstreamUnreachable(DarkroomError):
    """Image generation service is unreachable"""

    code = "upstream_unreachable"
    status_code = 502


class UnreadableMessage(DarkroomError):
    """The message can't be read or trusted; it goes to the dead letters."""

    code = "unreadable"
    status_code = 400

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.reason_code = code  #: unreadable, not_a_cloudevent, unsigned, wrong_signature …


class InvalidCatalogue(DarkroomError):
    """models.yaml can't be read."""

    code = "invalid_catalogue"


class UnknownModel(PermanentError):
    """There is no such model in the catalogue."""

    code = "model_not_found"


class InvalidSize(PermanentError):
    """The model doesn't make pictures of that size."""

    code = "invalid_size"


class InvalidAspectRatio(PermanentError):
    """Invalid aspect ratio"""

    code = "invalid_aspect_ratio"


class InvalidSpec(PermanentError):
    """The model can't do what was asked."""

    code = "invalid_spec"


class ReferenceGone(PermanentError):
    """A picture that this one is made from was purged."""

    code = "reference_gone"


class ModelRefused(PermanentError):
    """The model's files are missing, altered or not safe to load."""

    code = "model_refused"


class OutOfMemory(PermanentError):
    """The picture needs more memory than the device has."""

    code = "out_of_memory"


class NanPixels(PermanentError):
    """The model produced numbers that are not a picture."""

    code = "nan_pixels"


class Stopped(DarkroomError):
    """The generation was stopped between two steps, as asked."""

    code = "stopped"


class EnhancementFailed(DarkroomError):
    """The message is a short word for why the language model gave no prompt."""

    code = "enhancement_failed"


class EngineDied(DarkroomError):
    """The engine's process ended while it was working; trying again may succeed."""

    code = "engine_died"
    status_code = 503
