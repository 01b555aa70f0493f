"""Kafka's bytes in; an event about a job out, or the reason why not."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from pydantic import ValidationError

from schemas.events import EVENTS, GenerationEvent

AT_ONCE: Final = 100  #: records, which take a millisecond


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


Reading = Told | Unreadable


async def read_all(records: Sequence[Record]) -> list[Reading]:
    """What each comes to; whatever else is under way goes on meanwhile."""
    readings: list[Reading] = []
    for start in range(0, len(records), AT_ONCE):
        readings += map(read, records[start : start + AT_ONCE])
        await asyncio.sleep(0)
    return readings


def read(record: Record) -> Reading:
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
