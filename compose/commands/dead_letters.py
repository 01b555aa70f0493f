"""What could not be read: listed, shown, sent again as it was, or put out of sight."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from heapq import nlargest
from typing import Annotated, Self, TypeVar

import typer

from compose.commands.topics import explained
from compose.console import Json, out, print_json
from compose.errors import CommandFailed, UsageFailed
from compose.running import running_settings
from schemas.common import Time, Value
from schemas.topics import DEAD_LETTERS
from services.broker import Publisher
from services.errors import InvalidRequest, NotFound
from services.event_log import EventLog
from services.mongo import OUTAGES, open_mongo
from services.redrive import DeadLetters, Letter, LetterId
from services.settings import Settings

T = TypeVar("T")

app = typer.Typer(help="Look after messages that could not be read.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="As `ls` says: dead-letters:1:17.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="As `ls` says: dead-letters:1:17.")]


class LetterLine(Value):
    """A letter in a list: where it lies, where it came from, why it is there."""

    id: str
    time: Time
    project: str
    error: str
    reason: str
    topic: str
    partition: int
    offset: int
    bytes: int
    redriven_at: Time | None
    dropped_at: Time | None

    @classmethod
    def of(cls, letter: Letter, **more: object) -> Self:
        data = letter.data
        line = {
            "id": str(letter.id),
            "time": letter.time,
            "project": letter.project,
            "bytes": len(data.value),
            **data.model_dump(include={"error", "reason", "topic", "partition", "offset"}),
            **dict(letter.mark),
            **more,
        }
        return cls.model_validate(line)


class LetterPage(LetterLine):
    """All of a letter; key, headers and value in base64."""

    key: str | None
    headers: tuple[tuple[str, str], ...]
    value: str
    text: str | None  #: the value, where it is UTF-8


@app.command("ls")
def ls(
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    before: Annotated[str | None, typer.Option(help="Only letters older than this id.")] = None,
    error: Annotated[str | None, typer.Option(help="Only of this class, such as unsigned.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those dropped, too.")] = False,
    json: Json = False,
) -> None:
    """List letters, newest first."""

    async def chosen(letters: DeadLetters) -> list[LetterLine]:
        cursor = _order(await letters.find(LetterId.parse(before))) if before else None
        lines = [
            (_order(letter), LetterLine.of(letter))
            async for letter in letters.kept()
            if (cursor is None or _order(letter) < cursor)
            and error in (None, letter.data.error)
            and (everything or letter.mark.dropped_at is None)
        ]
        return [line for _, line in nlargest(limit, lines, key=lambda pair: pair[0])]

    for line in _with_letters(chosen):
        _print(line, json=json)


@app.command("show")
def show(letter_id: Id, json: Json = False) -> None:
    """Show one letter with its message."""
    letter = _with_letters(lambda letters: letters.find(LetterId.parse(letter_id)))
    if json:
        print_json(_page(letter))
        return
    for name, value in LetterLine.of(letter):
        out.print(f"{name:<12} {value}")
    for name, content in letter.data.headers:
        out.print(f"{'header':<12} {name}: {content.decode(errors='replace')}")
    out.print(f"\n{letter.data.value.decode(errors='replace')}")


@app.command("redrive")
def redrive(
    letter_ids: Ids,
    again: Annotated[bool, typer.Option("--again", help="Though it was redriven before.")] = False,
    json: Json = False,
) -> None:
    """Publish original messages to their own topics again."""
    _each(letter_ids, lambda letters, letter: letters.redrive(letter, again=again), json=json)


@app.command("drop")
def drop(letter_ids: Ids, json: Json = False) -> None:
    """Put letters out of sight; Kafka keeps them."""
    _each(letter_ids, lambda letters, letter: letters.drop(letter), json=json)


def _each(
    letter_ids: Sequence[str],
    work: Callable[[DeadLetters, Letter], Awaitable[Letter]],
    *,
    json: bool,
) -> None:
    """All ids are looked up before the first is touched."""

    async def done(letters: DeadLetters) -> None:
        found = [await letters.find(LetterId.parse(each)) for each in letter_ids]
        for letter in found:
            _print(LetterLine.of(await work(letters, letter)), json=json)

    _with_letters(done)


def _with_letters(work: Callable[[DeadLetters], Awaitable[T]]) -> T:
    settings = running_settings()

    async def run() -> T:
        async with _opened(settings) as letters:
            return await work(letters)

    try:
        with explained(settings.kafka):
            return asyncio.run(run())
    except InvalidRequest as error:
        raise UsageFailed(error.message) from error
    except NotFound as error:
        raise CommandFailed(error.message, "`./darkroom dead-letters ls` lists them") from error
    except OUTAGES as error:
        raise CommandFailed("MongoDB does not answer", "run `./darkroom up`") from error


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[DeadLetters]:
    async with (
        EventLog.open(settings.kafka, (DEAD_LETTERS,)) as event_log,
        open_mongo(settings.mongo) as mongo,
        Publisher.open(settings.kafka) as publisher,
    ):
        yield DeadLetters(event_log, mongo, publisher)


def _order(letter: Letter) -> tuple[float, int, int]:
    return letter.time.timestamp(), letter.id.partition, letter.id.offset


def _page(letter: Letter) -> LetterPage:
    data = letter.data
    try:
        text = data.value.decode()
    except UnicodeDecodeError:
        text = None
    return LetterPage.of(
        letter,
        key=None if data.key is None else b64encode(data.key).decode(),
        headers=tuple((name, b64encode(content).decode()) for name, content in data.headers),
        value=b64encode(data.value).decode(),
        text=text,
    )


def _print(line: LetterLine, *, json: bool) -> None:
    if json:
        print_json(line)
        return
    done = "dropped" if line.dropped_at else "redriven" if line.redriven_at else ""
    place = f"{line.topic}:{line.partition}:{line.offset}"
    told = f"{line.error:<16} {line.bytes:>9} B  {place:<28} {done}"
    out.print(f"{line.id:<20} {line.time:%Y-%m-%d %H:%M:%S}  {told}")
