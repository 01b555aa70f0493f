"""What can't be read is kept byte for byte, with where it came from and why."""

import base64
from collections.abc import Sequence
from typing import Protocol

import structlog

from schemas.cloudevents import NAMESPACE, event_id, schema_path
from schemas.events import DeadLetter, DeadLetterData
from schemas.topics import DEAD_LETTERS
from services import metrics
from services.broker import Publisher
from services.errors import UnreadableMessage

log = structlog.get_logger()

Header = tuple[str, bytes | None]

KIND = "dev.darkroom.dead-letter.v1"
LONGEST = 1024  #: bytes of a header or a key
MOST_HEADERS = 50


class Record(Protocol):
    """What we read of aiokafka's ConsumerRecord."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]


async def bury(
    publisher: Publisher,
    record: Record,
    error: UnreadableMessage,
    project: str,
    reader: str = "/workers/generator",
) -> None:
    """Publish the record to `dead-letters`; the same record always has the same event id."""
    place = f"{record.topic}:{record.partition}:{record.offset}"
    letter = DeadLetter(
        id=event_id(NAMESPACE, f"{KIND}:{place}"),
        source=reader,
        subject=place,
        dataschema=schema_path(KIND),
        projectid=project,
        data=DeadLetterData(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=_base64(record.key),
            value=_base64(record.value) or b"",
            headers=tuple((name, _base64(value) or b"") for name, value in _small(record.headers)),
            error=error.reason_code,
            reason=error.message,
        ),
    )
    await publisher.publish(DEAD_LETTERS, _key(record) or place, letter.encode())
    metrics.DEAD_LETTERS.labels(error.reason_code).inc()
    log.warning("dead_letter", at=place, error=error.reason_code)


def _small(headers: Sequence[Header]) -> list[Header]:
    """Those that are no payload in disguise: the letter must fit where its message fitted."""
    small = [(name, value) for name, value in headers if len(name) + len(value or b"") <= LONGEST]
    return small[:MOST_HEADERS]


def _key(record: Record) -> str | None:
    """The record's own where it is a text; its bytes are in the letter anyway."""
    if record.key is None or len(record.key) > LONGEST:
        return None
    try:
        return record.key.decode()
    except UnicodeDecodeError:
        return None


def _base64(value: bytes | None) -> bytes | None:
    return None if value is None else base64.b64encode(value)
