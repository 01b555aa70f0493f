"""The topics as they are on the cluster: partitions, retention, how much they hold."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from aiokafka.errors import UnknownTopicOrPartitionError
from rich.table import Table

from compose.console import Json, out, print_json
from compose.errors import CommandFailed
from compose.running import running_settings
from schemas.common import Value
from schemas.topics import TOPICS
from services.broker import BROKER_OUTAGES
from services.event_log import EventLog
from services.settings import KafkaSettings
from services.topic_admin import TopicAdmin


class TopicLine(Value):
    name: str
    partitions: int
    retention_seconds: float | None  #: null: for ever
    records: int  #: still kept
    offsets: tuple[int, ...]  #: the next one of each partition


def topics(json: Json = False) -> None:
    """List the topics in flow order."""
    settings = running_settings().kafka
    with explained(settings):
        lines = asyncio.run(_lines(settings))
    if json:
        for line in lines:
            print_json(line)
    else:
        _print_table(lines)


@contextmanager
def explained(settings: KafkaSettings) -> Iterator[None]:
    """What Kafka's errors mean for a person, and what to do next."""
    try:
        yield
    except UnknownTopicOrPartitionError as error:
        raise CommandFailed("a topic does not exist yet", "run `./darkroom migrate`") from error
    except BROKER_OUTAGES as error:
        where = settings.bootstrap_servers
        raise CommandFailed(f"Kafka does not answer at {where}", "run `./darkroom up`") from error


async def _lines(settings: KafkaSettings) -> list[TopicLine]:
    async with TopicAdmin.open(settings) as admin, EventLog.open(settings, TOPICS) as log:
        lines = []
        for topic in TOPICS:
            extent = await log.extent(topic)
            kept = await admin.settings_of(settings.topic_prefix + topic.name)
            retention = int(kept.get("retention.ms", "-1"))
            lines.append(
                TopicLine(
                    name=topic.name,
                    partitions=extent.partitions,
                    retention_seconds=retention / 1000 if retention >= 0 else None,
                    records=extent.records,
                    offsets=extent.ends,
                )
            )
        return lines


def _print_table(lines: list[TopicLine]) -> None:
    table = Table("topic", "partitions", "kept for", "records", "written so far", box=None)
    for line in lines:
        kept = "ever" if line.retention_seconds is None else _span(line.retention_seconds)
        written = str(sum(line.offsets))
        table.add_row(line.name, str(line.partitions), kept, str(line.records), written)
    out.print(table)


def _span(seconds: float) -> str:
    days = timedelta(seconds=seconds) / timedelta(days=1)
    return f"{days:g} days"
