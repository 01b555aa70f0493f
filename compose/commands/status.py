"""Which processes run in this home, with their pids and restarts."""

from collections.abc import Mapping

import typer
from rich.table import Table

from compose.console import Json, out, print_json
from compose.embedded import status as board
from compose.embedded.apps import metrics_port
from compose.embedded.ports import HOST
from compose.embedded.state import load
from compose.embedded.status import StackStatus
from compose.running import home
from schemas.common import Value


class ProcessLine(Value):
    name: str
    pid: int | None
    restarts: int
    ready: bool
    metrics: str | None = None  #: where its `/metrics` is


class StatusLine(Value):
    ready: bool
    processes: tuple[ProcessLine, ...]


def status(json: Json = False) -> None:
    """Say which processes run and which are ready."""
    written = board.read(home()) if board.is_running(home()) else None
    if json:
        print_json(_line(written))
    elif written is None:
        typer.echo(f"nothing runs in {home()}; `./darkroom up` starts it")
    else:
        _print_table(written)
    if written is None or not written.ready:
        raise typer.Exit(1)


def _line(written: StackStatus | None) -> StatusLine:
    if written is None:
        return StatusLine(ready=False, processes=())
    known = load(home())
    ports = known.ports if known else {}
    lines = tuple(
        ProcessLine(**process.model_dump(), metrics=_metrics(process.name, ports))
        for process in written.processes
    )
    return StatusLine(ready=written.ready, processes=lines)


def _metrics(process: str, ports: Mapping[str, int]) -> str | None:
    name = process if process.startswith("api") else metrics_port(process)
    return f"http://{HOST}:{ports[name]}/metrics" if name in ports else None


def _print_table(written: StackStatus) -> None:
    table = Table("process", "pid", "restarts", "ready", box=None)
    for process in written.processes:
        ready = "yes" if process.ready else "no"
        table.add_row(process.name, str(process.pid or "-"), str(process.restarts), ready)
    out.print(table)
    phase = f"{written.phase} {written.waits}".rstrip()
    typer.echo(f"{phase} · {home()}")
