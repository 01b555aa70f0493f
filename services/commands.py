"""Bytes from Kafka in -> a trusted command, or the reason why there is none."""

from typing import Any, Final

from pydantic import ValidationError

from schemas.cloudevents import CloudEvent
from schemas.common import Value, now
from schemas.events import (
    COMMANDS,
    AdmissionError,
    GenerationCancelRequested,
    GenerationRequested,
)
from services.accounts import Keys
from services.errors import Forbidden, UnreadableMessage
from services.signing import HEADER, OWN_KEY, Signer

Command = GenerationRequested | GenerationCancelRequested
Headers = tuple[tuple[str, bytes | None], ...]  #: Kafka's: a value may be null, or any bytes
MOST_ERRORS: Final = 100  #: that a rejection tells, so that it is smaller than what it refuses
TYPES: Final = {
    kind.model_fields["type"].default for kind in (GenerationRequested, GenerationCancelRequested)
}


class Inadmissible(Exception):
    """Signed and a CloudEvent, but not one that can be admitted."""

    def __init__(self, envelope: CloudEvent, *errors: AdmissionError) -> None:
        super().__init__(f"{len(errors)} errors")
        self.envelope = envelope
        self.errors = errors[:MOST_ERRORS]


class Signed(Value):
    """A command and who signed it."""

    key_id: str
    command: Command

    @property
    def ours(self) -> bool:
        return self.key_id == OWN_KEY


class CommandReader:
    def __init__(self, signer: Signer, keys: Keys) -> None:
        self._signer = signer
        self._keys = keys

    async def read(self, value: bytes | None, headers: Headers) -> Signed:
        """Raise `UnreadableMessage` for the dead letters, `Inadmissible` for a rejection."""
        value = value or b""
        envelope = _envelope(value)
        key_id = self._signer.verify(value, _signature(headers))
        if key_id != OWN_KEY:
            await self._check_key(key_id, envelope)
        if envelope.type not in TYPES:
            raise UnreadableMessage("unknown_type", "no such command")
        try:
            return Signed(key_id=key_id, command=COMMANDS.validate_json(value))
        except ValidationError as error:
            raise Inadmissible(envelope, *_reasons(error)) from error

    async def _check_key(self, key_id: str, envelope: CloudEvent) -> None:
        key = await self._keys.find(key_id)
        if key is None or not key.usable(now()):
            raise UnreadableMessage("wrong_key", "the key is unknown, expired or revoked")
        if key.project != envelope.projectid:
            raise UnreadableMessage("wrong_project", "the key is not one of this project's")
        if "full" not in key.scopes:
            refusal = AdmissionError(pointer="", code=Forbidden.code, detail=str(Forbidden()))
            raise Inadmissible(envelope, refusal)


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


def _reasons(error: ValidationError) -> tuple[AdmissionError, ...]:
    """Where and why, without the text that was sent.

    pydantic leaves an invalid item out and then finds the list too short: that is no news.
    """
    reasons = error.errors(include_input=False, include_url=False)
    inside = {reason["loc"][:depth] for reason in reasons for depth in range(len(reason["loc"]))}
    return tuple(
        AdmissionError(pointer=_pointer(reason["loc"]), code=reason["type"], detail=reason["msg"])
        for reason in reasons
        if reason["type"] != "too_short" or reason["loc"] not in inside
    )


def _pointer(location: tuple[Any, ...]) -> str:
    """pydantic puts the union's tag first; a JSON Pointer starts at the message itself."""
    parts = [str(part) for part in location if part not in TYPES]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
