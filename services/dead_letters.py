"""What can't be read is kept byte for byte, with where it came from and why."""

import base64
from collections.abc import Sequence
from typing import Protocol

import structlog

from schemas.cloudevents import NAMESPACE, event_id, schema_path
from schemas.events import DeadLetter, DeadLetterData
from schemas.topics import DEAD_LETTERS
from services.broker import Publisher
from services.errors import UnreadableMessage

log = structlog.get_logger()

KIND = "dev.darkroom.dead-letter.v1"


class Record(Protocol):
    """What we read of aiokafka's ConsumerRecord."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


async def bury(
    publisher: Publisher, record: Record, error: UnreadableMessage, project: str
) -> None:
    """Publish the record to `dead-letters`; the same record always has the same event id."""
    place = f"{record.topic}:{record.partition}:{record.offset}"
    letter = DeadLetter(
        id=event_id(NAMESPACE, f"{KIND}:{place}"),
        source="/workers/generator",
        subject=place,
        dataschema=schema_path(KIND),
        projectid=project,
        data=DeadLetterData(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=_base64(record.key),
            value=_base64(record.value) or b"",
            headers=tuple((name, _base64(value) or b"") for name, value in record.headers),
            error=error.reason_code,
            reason=error.message,
        ),
    )
    key = (record.key or b"").decode(errors="replace") or place
    await publisher.publish(DEAD_LETTERS, key, letter.encode())
    log.warning("dead_letter", at=place, error=error.reason_code)


def _base64(value: bytes | None) -> bytes | None:
    return None if value is None else base64.b64encode(value)
