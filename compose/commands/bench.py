"""A running stack in -> what it does beside what raw drivers do on it, in one table."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer
from rich.progress import TaskID
from rich.table import Table

from benchmarks import accepts, completion, lists, projection, promises
from benchmarks.figures import Row
from benchmarks.sandbox import Sandbox, sandbox
from compose.commands.pictures import check_writable
from compose.console import Json, err, out, percentages, print_json
from compose.errors import CommandFailed, UsageFailed
from compose.running import check_runs, known_state, running_settings

Tick = Callable[[float], None]

#: Each benchmark's share of the time.
SHARES: Final = {"accepts": 0.45, "completion": 0.35, "projection": 0.12, "lists": 0.08}
PROMISES: Final = "promises"  #: takes as long as its pictures do
NAMES: Final = (*SHARES, PROMISES)

Seconds = Annotated[float, typer.Option("--seconds", min=5, max=3600, help="To measure, about.")]
Only = Annotated[str | None, typer.Option("--only", help=f"One of {', '.join(NAMES)}.")]
Save = Annotated[Path | None, typer.Option("--save", help="Write the rows there, as JSON lines.")]


def bench(seconds: Seconds = 90, only: Only = None, save: Save = None, json: Json = False) -> None:
    """Measure this stack; exit 1 where it misses a floor."""
    if only is not None and only not in NAMES:
        raise UsageFailed(f"there is no benchmark {only}", f"choose one of {', '.join(NAMES)}")
    check_runs()
    if save is not None:
        check_writable(save)
    chosen = {name: SHARES.get(name, 0.0) for name in NAMES if only in (None, name)}
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what it made is dropped then, too
    rows = asyncio.run(_measured(chosen, seconds))
    if save is not None:
        save.write_text("".join(f"{row.model_dump_json()}\n" for row in rows))
    if json:
        for row in rows:
            print_json(row)
    else:
        out.print(table(rows))
    if missed := [row.what for row in rows if row.met is False]:
        err.print(f"below the floor: {', '.join(missed)}")
        raise typer.Exit(1)


async def _measured(chosen: dict[str, float], seconds: float) -> list[Row]:
    rows: list[Row] = []
    with percentages() as progress:
        preparing = progress.add_task("preparing", total=None)
        async with sandbox(running_settings()) as box:
            progress.remove_task(preparing)
            for name, share in chosen.items():
                task = progress.add_task(name, total=1.0)
                scaled = seconds * share / (sum(chosen.values()) or 1.0)

                def tick(done: float, task: TaskID = task) -> None:
                    progress.update(task, completed=done)

                rows.extend([row async for row in _rows(name, box, scaled, tick)])
                progress.update(task, completed=1.0)
    return rows


async def _rows(name: str, box: Sandbox, seconds: float, tick: Tick) -> AsyncIterator[Row]:
    if name == "accepts":
        yield await accepts.measure(box, seconds, tick)
    elif name == "projection":
        yield await projection.measure(box, seconds, tick)
    elif name == "lists":
        yield await lists.measure(box, seconds, tick)
    else:
        state = known_state()
        if state.key is None:
            raise CommandFailed("this home has no key yet", "run `./darkroom up`")
        port, key = state.ports["api"], state.key.key
        if name == PROMISES:
            yield await promises.measure(port, key, tick)
            return
        for row in await completion.measure(box, port, key, seconds, tick):
            yield row


def table(rows: list[Row]) -> Table:
    """At most 80 columns."""
    made = Table("what", "ours", "floor", "ratio", "required", "", box=None, pad_edge=False)
    for row in rows:
        made.add_row(
            f"{row.what}, {row.unit}",
            _figure(row.ours),
            _figure(row.floor),
            f"{row.ratio:.2f}",
            row.required or "-",
            {True: "ok", False: "missed", None: ""}[row.met],
        )
        made.add_row(f"  {row.pairs} pairs", "", "", "{:.2f}-{:.2f}".format(*row.ratios))
        for name, ours, floor in _details(row):
            made.add_row(f"  {name}", _figure(ours), _figure(floor), f"{ours / floor:.2f}")
    return made


def _details(row: Row) -> list[tuple[str, float, float]]:
    ours, floor = row.ours_detail, row.floor_detail
    named = (
        ("latency p50, ms", ours.p50_ms, floor.p50_ms),
        ("latency p99, ms", ours.p99_ms, floor.p99_ms),
        ("CPU each, ms", ours.cpu_ms_per_item, floor.cpu_ms_per_item),
    )
    return [
        (name, mine, theirs)
        for name, mine, theirs in named
        if mine is not None and theirs is not None
    ]


def _figure(value: float) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 3
    return f"{value:,.{digits}f}"
