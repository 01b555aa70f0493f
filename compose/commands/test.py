"""The project's own checks, cheapest first; the last line is the test runner's."""

import subprocess
import sys
from time import monotonic
from typing import Annotated, Final

import typer

from compose.embedded.wiring import ROOT
from compose.errors import CommandFailed

CHECKS: Final = (
    ("ruff", ("ruff", "check", ".")),
    ("format", ("ruff", "format", "--check", ".")),
    ("typos", ("typos",)),
    ("import rules", ("lint-imports",)),
    ("types", ("mypy",)),
)
FAST: Final = "not connected and not flow and not browser and not chaos and not gpu"
NORMAL: Final = "not browser and not chaos and not gpu"


def test(
    fast: Annotated[bool, typer.Option("--fast", help="Only what needs no Kafka.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Chaos, browser and GPU tests as well.")
    ] = False,
    pytest_arguments: Annotated[
        list[str] | None, typer.Argument(help="Passed on to pytest, after `--`.")
    ] = None,
) -> None:
    """Lint, types, import rules and tests, as CI runs them."""
    for name, command in CHECKS:
        _check(name, command)
    marks = FAST if fast else "" if everything else NORMAL
    chosen = ("-m", marks) if marks else ()
    _run("pytest", ("pytest", *chosen, *(pytest_arguments or ())))


def _check(name: str, command: tuple[str, ...]) -> None:
    began = monotonic()
    _run(name, command, quiet=True)
    print(f"ok  {name} ({monotonic() - began:.1f} s)", flush=True)


def _run(name: str, command: tuple[str, ...], *, quiet: bool = False) -> None:
    """Tools are those of this environment, whatever is on the PATH."""
    program = f"{sys.prefix}/bin/{command[0]}"
    done = subprocess.run(
        (program, *command[1:]), cwd=ROOT, check=False, capture_output=quiet, text=True
    )
    if done.returncode:
        if quiet:
            print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        raise CommandFailed(f"{name} found something to mend", f"run `{' '.join(command)}` again")
