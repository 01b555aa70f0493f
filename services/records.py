"""Kafka's bytes in; an event about a job out, or the reason why not."""

from typing import NamedTuple
from uuid import UUID

from pydantic import ValidationError

from schemas.events import EVENTS, GenerationEvent


class Record(NamedTuple):
    """A message and its place; `partition` is "<topic>:<number>"."""

    partition: str
    offset: int
    value: bytes

    @property
    def id(self) -> str:
        return f"{self.partition}:{self.offset}"


class Told(NamedTuple):
    job: UUID
    event: GenerationEvent


class Unreadable(NamedTuple):
    record: Record
    reason: str  #: holds none of the message's text


def read(record: Record) -> Told | Unreadable:
    try:
        event = EVENTS.validate_json(record.value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = "/".join(str(part) for part in first["loc"])
        return Unreadable(record, f"{first['type']} at /{where}")
    try:
        return Told(UUID(event.subject), event)
    except (ValueError, TypeError):
        return Unreadable(record, "the subject is no job id")
