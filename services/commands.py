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
from services.errors import UnreadableMessage
from services.signing import HEADER, OWN_KEY, Signer

Command = GenerationRequested | GenerationCancelRequested
TYPES: Final = {
    kind.model_fields["type"].default for kind in (GenerationRequested, GenerationCancelRequested)
}


class Inadmissible(Exception):
    """Signed and a CloudEvent, but not one that can be admitted."""

    def __init__(self, envelope: CloudEvent, errors: tuple[AdmissionError, ...]) -> None:
        super().__init__(f"{len(errors)} errors")
        self.envelope = envelope
        self.errors = errors


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

    async def read(self, value: bytes | None, headers: tuple[tuple[str, bytes], ...]) -> Signed:
        """Raise `UnreadableMessage` for the dead letters, `Inadmissible` for a rejection."""
        value = value or b""
        envelope = _envelope(value)
        key_id = self._signer.verify(value, _signature(headers))
        if key_id != OWN_KEY:
            await self._check_key(key_id, envelope.projectid)
        if envelope.type not in TYPES:
            raise UnreadableMessage("unknown_type", "no such command")
        try:
            return Signed(key_id=key_id, command=COMMANDS.validate_json(value))
        except ValidationError as error:
            raise Inadmissible(envelope, _reasons(error)) from error

    async def _check_key(self, key_id: str, project: str) -> None:
        key = await self._keys.find(key_id)
        if key is None or not key.usable(now()):
            raise UnreadableMessage("wrong_key", "the key is unknown, expired or revoked")
        if key.project != project:
            raise UnreadableMessage("wrong_project", "the key is not one of this project's")


def _envelope(value: bytes) -> CloudEvent:
    try:
        return CloudEvent.model_validate_json(value)
    except ValidationError as error:
        broken = any(reason["type"] == "json_invalid" for reason in error.errors())
        if broken:
            raise UnreadableMessage("unreadable", "the message is not JSON") from None
        where = ", ".join(sorted({str(reason["loc"][:1] or "") for reason in error.errors()}))
        raise UnreadableMessage(
            "not_a_cloudevent", f"the message is not a CloudEvent 1.0: {where}"
        ) from None


def _signature(headers: tuple[tuple[str, bytes], ...]) -> str | None:
    for name, value in headers:
        if name.lower() == HEADER:
            return value.decode("ascii", errors="replace")
    return None


def _reasons(error: ValidationError) -> tuple[AdmissionError, ...]:
    """Where and why, without the text that was sent."""
    return tuple(
        AdmissionError(pointer=_pointer(reason["loc"]), code=reason["type"], detail=reason["msg"])
        for reason in error.errors(include_input=False, include_url=False)
    )


def _pointer(location: tuple[Any, ...]) -> str:
    """pydantic puts the union's tag first; a JSON Pointer starts at the message itself."""
    parts = [str(part) for part in location if part not in TYPES]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
