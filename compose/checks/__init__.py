"""What `doctor` looks at; every check says what it found, and what to do where it fails."""

from schemas.common import Value


class Check(Value):
    name: str
    ok: bool
    detail: str
