"""API keys: what a project's callers show, and what is kept of it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from schemas.common import ProjectId, Text, Time, Value, now
from schemas.jobs import Idempotency

Scope = Literal["full", "read", "live"]
Limit = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$")]
KeyName = Annotated[Text, Field(max_length=200)]

DEFAULT_LIMIT = "100/hour"
LONGEST_LIFE = 100 * 365 * 24 * 3600  #: seconds


class KeyFacts(Value):
    """What whoever makes a key says of it."""

    project: ProjectId
    name: KeyName = ""
    scopes: tuple[Scope, ...] = ("full",)
    limit: Limit | None = DEFAULT_LIMIT
    created_at: Time = Field(default_factory=now)
    expires_at: Time | None = None


class Key(KeyFacts):
    """The document in `keys`; `hash` is HMAC-SHA256 of the key under the master secret."""

    id: str = Field(alias="_id")
    hash: str = Field(repr=False)
    revoked_at: Time | None = None
    last_used_at: Time | None = None
    successor: str | None = None  #: the key that a rotation put in its place
    idempotency: Idempotency | None = Field(default=None, repr=False)

    @property
    def prefix(self) -> str:
        """What a list shows of a key."""
        return f"dk_{self.id}"

    def usable(self, moment: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or moment < self.expires_at)
