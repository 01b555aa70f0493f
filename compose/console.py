"""What commands say: results on stdout (JSON with --json), everything else on stderr."""

from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from compose.errors import CommandFailed

# no markup: most of what is printed was written by others
out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of text.")]


def print_json(value: BaseModel, *, sparse: bool = False) -> None:
    """One object a line, so that a stream of them is NDJSON; `sparse` leaves nulls out."""
    typer.echo(value.model_dump_json(exclude_none=sparse))


def print_failure(error: CommandFailed) -> None:
    err.print(Text("error", "bold red"), error)
    if error.hint:
        err.print(Text("next", "bold"), "", error.hint)


def downloads() -> Progress:
    return Progress(
        TextColumn("{task.description:<24}", markup=False),
        BarColumn(bar_width=32),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=err,
    )


def percentages() -> Progress:
    return Progress(
        TextColumn("{task.description:<24}", markup=False),
        BarColumn(bar_width=32),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=err,
    )


def spinners() -> Progress:
    return Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=err,
    )
