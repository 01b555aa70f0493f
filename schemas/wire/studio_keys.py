"""Keys over HTTP: made and rotated with their secrets shown once, listed without."""

from typing import Annotated

from pydantic import Field

from schemas.common import Time
from schemas.keys import DEFAULT_LIMIT, LONGEST_LIFE, Key, KeyName, Limit, Scope
from schemas.wire.studio import Camel


class KeyBody(Camel):
    """`limit`: null for none; `expiresIn`: seconds, null for never."""

    name: KeyName = ""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=3)] = ("full",)
    limit: Limit | None = DEFAULT_LIMIT
    expires_in: Annotated[int, Field(ge=1, le=LONGEST_LIFE, strict=True)] | None = None


class RotationBody(Camel):
    """`overlapSeconds`: how long the old key still works."""

    overlap_seconds: Annotated[int, Field(ge=0, le=LONGEST_LIFE, strict=True)] = 0


class KeyReply(Camel):
    id: str
    name: str
    scopes: tuple[Scope, ...]
    limit: str | None
    prefix: str
    created_at: Time
    last_used_at: Time | None
    expires_at: Time | None
    revoked_at: Time | None

    @classmethod
    def of(cls, key: Key) -> "KeyReply":
        return cls(**key.model_dump(), prefix=key.prefix)


class NewKeyReply(KeyReply):
    """With the secrets, which are never shown again."""

    key: str
    signing_key_id: str
    signing_secret: str
