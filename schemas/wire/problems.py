"""How a request is refused where no dialect says otherwise (RFC 9457)."""

from schemas.common import Value


class Reason(Value):
    pointer: str  #: JSON Pointer (RFC 6901)
    detail: str


class Problem(Value):
    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str  #: the stable word of the error
    errors: tuple[Reason, ...] | None = None
