"""`darkroom bench`: what it refuses, and how its table reads."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.figures import Pair, Side, excess_row, rate_row
from compose.commands.bench import bench, table
from compose.errors import CommandFailed, UsageFailed


def test_an_unknown_benchmark_is_a_wrong_usage() -> None:
    with pytest.raises(UsageFailed, match="pictures"):
        bench(only="pictures")


def test_without_a_running_stack_it_says_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))

    with pytest.raises(CommandFailed) as failed:
        bench()
    assert failed.value.hint == "run `./darkroom up`"


def test_the_table_fits_a_terminal_of_eighty_columns() -> None:
    side = Side(value=1234.5, p50_ms=12.3, p99_ms=45.6, cpu_ms_per_item=0.6)
    rows = [
        rate_row("projected", "1/s", [Pair(ours=side, floor=side)], 0.7),
        excess_row("overhead p50", "ms", [([91.7], [28.6])], 0.5, 30),
    ]
    console = Console(width=80, record=True, file=StringIO())
    console.print(table(rows))
    lines = console.export_text().splitlines()

    assert [line.split()[0] for line in lines] == [
        *("what", "projected,", "1", "latency", "latency", "CPU", "overhead", "1")
    ]
    assert lines[1].split()[2:5] == ["1,234", "1,234", "1.00"]
    assert lines[6].rstrip().endswith("≤ floor + 30 ms  missed")
