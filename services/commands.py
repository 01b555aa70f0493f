"""Bytes from Kafka in -> a trusted command, or the reason why there is none."""

from typing import Any, Final

from pydantic import ValidationError

from schemas.cloudevents import CloudEvent
from schemas.common import Value
from schemas.events import (
    COMMANDS,
    AdmissionError,
    GenerationCancelRequested,
    GenerationRequested,
)
from services.accounts import Keys
from services.errors import Forbidden, UnreadableMessage
from services.producers import Headers, Producers
from services.signing import OWN_KEY, Signer

Command = GenerationRequested | GenerationCancelRequested
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
        self._producers = Producers(signer, keys)

    async def read(self, value: bytes | None, headers: Headers) -> Signed:
        """Raise `UnreadableMessage` for the dead letters, `Inadmissible` for a rejection."""
        value = value or b""
        trusted = await self._producers.trusted(value, headers)
        if not trusted.may_produce:
            refusal = AdmissionError(pointer="", code=Forbidden.code, detail=str(Forbidden()))
            raise Inadmissible(trusted.envelope, refusal)
        if trusted.envelope.type not in TYPES:
            raise UnreadableMessage("unknown_type", "no such command")
        try:
            return Signed(key_id=trusted.key_id, command=COMMANDS.validate_json(value))
        except ValidationError as error:
            raise Inadmissible(trusted.envelope, *_reasons(error)) from error


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
