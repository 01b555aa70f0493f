"""A process's log file on stdout, followed when asked."""

from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Annotated

import typer

from compose.console import Json, print_json
from compose.embedded.children import tail
from compose.errors import CommandFailed
from compose.running import home
from schemas.common import Value

POLL_SECONDS = 0.2

Process = Annotated[str | None, typer.Argument(help="api, generator, kafka …; all when left out.")]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")]
Lines = Annotated[int, typer.Option("-n", "--lines", help="How many of the last lines.")]


class LogLine(Value):
    process: str
    line: str


Print = Callable[[LogLine], None]


def logs(
    process: Process = None, follow: Follow = False, lines: Lines = 100, json: Json = False
) -> None:
    """Print the last lines of <home>/logs/<process>.log."""
    files = _files(process)
    sizes = {file: file.stat().st_size for file in files}
    printed = print_json if json else _print_named if process is None else _print_plain
    for file in files:
        _print(file, tail(file, lines), printed)
    while follow:
        sleep(POLL_SECONDS)
        for file in files:
            sizes[file] = _print_since(file, sizes[file], printed)


def _files(process: str | None) -> list[Path]:
    folder = home() / "logs"
    known = sorted(folder.glob("*.log"))
    files = [file for file in known if process in (None, file.stem)]
    if not files:
        names = ", ".join(file.stem for file in known) or "nothing yet"
        raise CommandFailed(f"no log of {process or 'any process'}", f"there is: {names}")
    return files


def _print_since(file: Path, seen: int, printed: Print) -> int:
    size = file.stat().st_size
    start = seen if size >= seen else 0  # it was trimmed
    if size > start:
        with file.open("rb") as opened:
            opened.seek(start)
            _print(file, opened.read(size - start).decode(errors="replace").rstrip(), printed)
    return size


def _print(file: Path, text: str, printed: Print) -> None:
    for line in text.splitlines():
        printed(LogLine(process=file.stem, line=line))


def _print_named(line: LogLine) -> None:
    typer.echo(f"{line.process:<12} {line.line}")


def _print_plain(line: LogLine) -> None:
    typer.echo(line.line)
