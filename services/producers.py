"""Bytes from Kafka in -> who signed them and their envelope, or why nobody trusts them."""

from typing import Final

from pydantic import ValidationError

from schemas.cloudevents import CloudEvent
from schemas.common import Value, now
from schemas.keys import Scope
from services.accounts import Keys
from services.errors import UnreadableMessage
from services.signing import HEADER, OWN_KEY, Signer

Headers = tuple[tuple[str, bytes | None], ...]  #: Kafka's: a value may be null, or any bytes

EVERYTHING: Final[tuple[Scope, ...]] = ("full",)


class Trusted(Value):
    """A CloudEvent that its project's key has signed, or one of our own processes."""

    key_id: str
    scopes: tuple[Scope, ...]
    envelope: CloudEvent

    @property
    def may_produce(self) -> bool:
        return "full" in self.scopes


class Producers:
    def __init__(self, signer: Signer, keys: Keys) -> None:
        self._signer = signer
        self._keys = keys

    async def trusted(self, value: bytes, headers: Headers) -> Trusted:
        """Raise `UnreadableMessage`, for the dead letters."""
        envelope = _envelope(value)
        key_id = self._signer.verify(value, _signature(headers))
        scopes = EVERYTHING if key_id == OWN_KEY else await self._scopes(key_id, envelope)
        return Trusted(key_id=key_id, scopes=scopes, envelope=envelope)

    async def _scopes(self, key_id: str, envelope: CloudEvent) -> tuple[Scope, ...]:
        key = await self._keys.find(key_id)
        if key is None or not key.usable(now()):
            raise UnreadableMessage("wrong_key", "the key is unknown, expired or revoked")
        if key.project != envelope.projectid:
            raise UnreadableMessage("wrong_project", "the key is not one of this project's")
        return key.scopes


def _envelope(value: bytes) -> CloudEvent:
    try:
        return CloudEvent.model_validate_json(value)
    except ValidationError as error:
        broken = any(reason["type"] == "json_invalid" for reason in error.errors())
        if broken:
            raise UnreadableMessage("unreadable", "the message is not JSON") from None
        where = sorted({str(part) for reason in error.errors() for part in reason["loc"][:1]})
        raise UnreadableMessage(
            "not_a_cloudevent", " ".join(("the message is not a CloudEvent 1.0:", *where))
        ) from None


def _signature(headers: Headers) -> str | None:
    for name, value in headers:
        if name.lower() == HEADER and value is not None:
            return value.decode("ascii", errors="replace")
    return None
