"""The log as it is: every event with its place, to the present or followed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from enum import StrEnum
from typing import Annotated

import typer
from pydantic import JsonValue, TypeAdapter, ValidationError

from compose.commands.events_verify import verify
from compose.commands.topics import explained
from compose.console import Json, out, print_json
from compose.running import running_settings
from schemas.cloudevents import TYPE_PREFIX
from schemas.common import Value
from schemas.topics import (
    GENERATION_COMMANDS,
    GENERATION_EVENTS,
    GENERATION_PROGRESS,
    LIBRARY_EVENTS,
    RECIPES_EVENTS,
)
from services.event_log import EventLog, LogRecord
from services.settings import KafkaSettings

app = typer.Typer(help="Read what has happened.", no_args_is_help=True)

TAILED = (
    GENERATION_COMMANDS,
    GENERATION_EVENTS,
    GENERATION_PROGRESS,
    LIBRARY_EVENTS,
    RECIPES_EVENTS,
)
MESSAGE: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])


class Start(StrEnum):
    BEGINNING = "beginning"
    END = "end"


class EventLine(Value):
    topic: str
    partition: int
    offset: int
    event: dict[str, JsonValue] | None  #: the CloudEvent as it was written; null: not readable


class Wanted(Value):
    """Which events are shown; None means all."""

    types: frozenset[str] | None = None
    job: str | None = None

    def has(self, event: dict[str, JsonValue] | None) -> bool:
        if event is None:
            return self.types is None and self.job is None
        return self._has_type(str(event.get("type", ""))) and self._has_job(event)

    def _has_type(self, event_type: str) -> bool:
        """Wanted by its whole type, without what all types share, or by its one telling word."""
        short = event_type.removeprefix(TYPE_PREFIX)
        unversioned = short.rpartition(".")[0]
        names = {event_type, short, unversioned, unversioned.rpartition(".")[2]}
        return self.types is None or not self.types.isdisjoint(names)

    def _has_job(self, event: dict[str, JsonValue]) -> bool:
        """An event has its job's id as subject; a batch's command holds the ids of its jobs."""
        if self.job is None or event.get("subject") == self.job:
            return True
        data = event.get("data")
        jobs = data.get("jobs") if isinstance(data, dict) else None
        return isinstance(jobs, list) and any(
            isinstance(job, dict) and job.get("job_id") == self.job for job in jobs
        )


@app.callback()
def events() -> None:
    """Read what has happened."""


app.command()(verify)


@app.command()
def tail(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    start: Annotated[
        Start | None,
        typer.Option("--from", help="Default: the beginning, or the end with --follow."),
    ] = None,
    types: Annotated[
        str | None, typer.Option("--type", help="Such as completed or generation.failed,started.")
    ] = None,
    job: Annotated[str | None, typer.Option(help="Only what is about this job.")] = None,
    json: Json = False,
) -> None:
    """Print events with topic, partition and offset, until the present."""
    settings = running_settings().kafka
    wanted = Wanted(types=frozenset(types.split(",")) if types else None, job=job)
    skip = start is Start.END or (start is None and follow)
    with explained(settings), suppress(KeyboardInterrupt):
        asyncio.run(_print_all(_records(settings, skip=skip, follow=follow), wanted, json=json))


async def _records(
    settings: KafkaSettings, *, skip: bool, follow: bool
) -> AsyncIterator[LogRecord]:
    async with EventLog.open(settings, TAILED) as log:
        if skip:
            await log.skip_kept()
        else:
            async for record in log.kept():
                yield record
        if follow:
            async for record in log.coming():
                yield record


async def _print_all(records: AsyncIterator[LogRecord], wanted: Wanted, *, json: bool) -> None:
    async for record in records:
        line = line_of(record)
        if not wanted.has(line.event):
            continue
        if json:
            print_json(line)
        else:
            _print(record, line)


def line_of(record: LogRecord) -> EventLine:
    event = None
    with suppress(ValidationError):
        event = MESSAGE.validate_json(record.value)
    return EventLine(
        topic=record.topic, partition=record.partition, offset=record.offset, event=event
    )


def _print(record: LogRecord, line: EventLine) -> None:
    event = line.event or {}
    name = str(event.get("type", "(not readable)")).removeprefix(TYPE_PREFIX)
    subject = str(event.get("subject") or "-")
    place = f"{line.topic}:{line.partition}:{line.offset}"
    out.print(f"{record.time:%Y-%m-%d %H:%M:%S.%f}  {name:<32} {subject:<36} {place}")
