"""The whole log in, every breach of what the design promises of it out, and what was counted."""

import asyncio
from collections.abc import AsyncIterator

import typer
from rich.progress import Progress

from compose.commands.topics import explained
from compose.console import Json, out, percentages, print_json
from compose.running import running_settings
from schemas.common import Value
from schemas.topics import GENERATION_EVENTS, GENERATION_PROGRESS
from services.event_log import EventLog
from services.log_invariants import Invariants, Violation
from services.settings import KafkaSettings


class Verified(Value):
    """The last line."""

    events: dict[str, int]  #: by type
    jobs: int
    runs: int
    ended: int  #: runs
    repeats: int  #: events told more than once
    violations: int


def verify(json: Json = False) -> None:
    """Check that the log keeps its promises; exit 1 where it doesn't."""
    settings = running_settings().kafka
    with explained(settings), percentages() as progress:
        violations = asyncio.run(_print_all(settings, progress, json=json))
    if violations:
        raise typer.Exit(1)


async def _print_all(settings: KafkaSettings, progress: Progress, *, json: bool) -> int:
    violations = 0
    async for line in _lines(settings, progress):
        violations += isinstance(line, Violation)
        if json:
            print_json(line, sparse=True)
        else:
            _print(line)
    return violations


async def _lines(
    settings: KafkaSettings, progress: Progress
) -> AsyncIterator[Violation | Verified]:
    invariants, violations = Invariants(), 0
    async with EventLog.open(settings, (GENERATION_EVENTS, GENERATION_PROGRESS)) as log:
        kept = await log.extents()
        task = progress.add_task("reading the log", total=sum(map(len, kept.values())))
        for name, offsets in kept.items():  # one after the other, so that memory has its end
            invariants.forget()
            async for records in log.between({name: offsets}):
                for record in records:
                    for violation in invariants.hear(record):
                        violations += 1
                        yield violation
                progress.advance(task, len(records))
    yield Verified(
        events=dict(invariants.counts),
        jobs=invariants.jobs,
        runs=invariants.runs,
        ended=invariants.ended,
        repeats=invariants.repeats,
        violations=violations,
    )


def _print(line: Violation | Verified) -> None:
    if isinstance(line, Violation):
        place = f"{line.topic}:{line.partition}:{line.offset}"
        out.print(f"{line.rule:<14} {line.job or '-':<36} {place:<28} {line.said}")
        return
    for name, count in sorted(line.events.items()):
        out.print(f"{count:>10}  {name}")
    ended = f"{line.ended} of {line.runs} runs of {line.jobs} jobs have ended"
    out.print(f"{ended}; {line.repeats} repeats; {line.violations or 'no'} violations")
