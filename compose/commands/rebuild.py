"""What is polled, made again from the log and compared: differences out, corrected with --apply."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated
from uuid import UUID

import structlog
import typer
from rich.progress import TaskID

from compose.commands.topics import explained
from compose.console import Json, err, out, percentages, print_json
from compose.errors import CommandFailed
from compose.running import running_settings
from schemas.common import Value
from services.mongo import OUTAGES, open_mongo
from services.rebuild import NotComparable, Rebuild, Told
from services.rebuild_comparison import Comparison
from services.rebuild_corrections import Corrections
from services.rebuild_looks import Change, Kind, changes
from services.settings import Settings

Apply = Annotated[bool, typer.Option("--apply", help="Correct what differs; keep what it was.")]


class DifferenceLine(Value):
    collection: str
    id: UUID
    project: str
    kind: Kind
    changes: tuple[Change, ...]
    applied: bool = False


class RebuiltLine(Value):
    """The last one: how much was read and compared."""

    rebuild: UUID  #: by which `replaced` keeps what was corrected
    records: int
    missing: int  #: events of jobs that are not there: purged, or never admitted
    unreadable: int
    progress_whole: bool  #: or what has expired was taken from the live states
    jobs: int
    images: int
    under_way: int  #: documents that changed, or were ahead of the log, at every look
    differences: int
    applied: int


def rebuild(apply: Apply = False, json: Json = False) -> None:
    """Compare what is polled with the log; exit 1 where they differ."""
    settings = running_settings()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with explained(settings.kafka), _explained():
        differ = asyncio.run(_print_all(settings, apply=apply, json=json))
    if differ:
        raise typer.Exit(1)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except NotComparable as error:
        raise CommandFailed(
            error.message, "`./darkroom lag` and `logs projector` say more"
        ) from error
    except OUTAGES as error:
        raise CommandFailed("MongoDB does not answer", "run `./darkroom up`") from error


async def _print_all(settings: Settings, *, apply: bool, json: bool) -> bool:
    """Whether anything still differs."""
    differ = False
    with _bar() as told:
        async for line in _lines(settings, told, apply=apply):
            if isinstance(line, DifferenceLine):
                differ = differ or not line.applied
            if json:
                print_json(line)
            else:
                _print(line)
    return differ


async def _lines(
    settings: Settings, told: Told, *, apply: bool
) -> AsyncIterator[DifferenceLine | RebuiltLine]:
    found = applied = 0
    async with open_mongo(settings.mongo) as mongo:
        await mongo.ping()  # it fails sooner than Kafka's clients start
        async with Rebuild.open(settings, mongo, told) as rebuilt:
            comparison, corrections = Comparison(rebuilt), Corrections(mongo, rebuilt.id)
            async for each in comparison.differences():
                done = apply and await corrections.apply(each)
                found, applied = found + 1, applied + done
                yield DifferenceLine(
                    collection=each.collection,
                    id=each.id,
                    project=each.project,
                    kind=each.kind,
                    changes=tuple(changes(each)),
                    applied=done,
                )
            yield RebuiltLine(
                rebuild=rebuilt.id,
                records=rebuilt.records,
                missing=rebuilt.applied.missing,
                unreadable=rebuilt.applied.quarantined,
                progress_whole=rebuilt.progress_whole,
                jobs=comparison.jobs,
                images=comparison.images,
                under_way=comparison.under_way,
                differences=found,
                applied=applied,
            )


@contextmanager
def _bar() -> Iterator[Told]:
    tasks: dict[str, TaskID] = {}
    with percentages() as progress:

        def told(what: str, part: float) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=1.0)
            progress.update(tasks[what], completed=part)

        yield told


def _print(line: DifferenceLine | RebuiltLine) -> None:
    if isinstance(line, DifferenceLine):
        done = "corrected" if line.applied else ""
        out.print(f"{line.collection:<8} {line.id}  {line.kind:<10} {done}".rstrip())
        if line.kind is Kind.DIFFERENT:
            for change in line.changes:
                out.print(f"  {change.field}: {change.live!r} is {change.rebuilt!r} in the log")
        return
    read = f"{line.records} records, {line.jobs} jobs and {line.images} images"
    out.print(f"{read}: {line.differences or 'no'} differences, {line.applied} corrected")
    for count, what in (
        (line.missing, "events are of jobs that are not there"),
        (line.unreadable, "records can't be read"),
        (line.under_way, "documents were under way at every look"),
    ):
        if count:
            err.print(f"{count} {what}")
    if line.applied:
        err.print(f"what was replaced is in the collection `replaced`, rebuild {line.rebuild}")
