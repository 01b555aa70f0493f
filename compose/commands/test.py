"""The project's own checks, cheapest first, until one fails; without --json the last line
is the test runner's."""

import subprocess
import sys
from time import monotonic
from typing import Annotated, Final

import typer

from compose.console import Json, print_json
from compose.embedded.wiring import ROOT
from compose.errors import CommandFailed
from schemas.common import Value

CHECKS: Final = (
    ("ruff", ("ruff", "check", ".")),
    ("format", ("ruff", "format", "--check", ".")),
    ("typos", ("typos",)),
    ("import rules", ("lint-imports",)),
    ("types", ("mypy",)),
)
STDERR: Final = 2
NORMAL: Final = "not browser and not chaos and not gpu and not nightly"
FAST: Final = f"not connected and not flow and {NORMAL}"


class Checked(Value):
    name: str
    ok: bool
    seconds: float


class Tested(Value):
    """The checks up to the first that failed."""

    ok: bool
    checks: tuple[Checked, ...]


def test(
    fast: Annotated[bool, typer.Option("--fast", help="Only what needs no Kafka.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Chaos, browser, GPU and nightly tests too.")
    ] = False,
    pytest_arguments: Annotated[
        list[str] | None, typer.Argument(help="Passed on to pytest, after `--`.")
    ] = None,
    json: Json = False,
) -> None:
    """Lint, types, import rules and tests, as CI runs them."""
    marks = FAST if fast else "" if everything else NORMAL
    chosen = ("-m", marks) if marks else ()
    tests = ("pytest", *chosen, *(pytest_arguments or ()))
    checked: list[Checked] = []
    for name, command in (*CHECKS, ("pytest", tests)):
        output = subprocess.PIPE if command is not tests else STDERR if json else None
        checked.append(_checked(name, command, output))
        if not checked[-1].ok:
            break
        if command is not tests:
            typer.echo(f"ok  {name} ({checked[-1].seconds:.1f} s)", err=json)
    if json:
        print_json(Tested(ok=checked[-1].ok, checks=tuple(checked)))
    if not checked[-1].ok:
        raise CommandFailed(f"{name} found something to mend", f"run `{' '.join(command)}` again")


def _checked(name: str, command: tuple[str, ...], output: int | None) -> Checked:
    """What is held back in a pipe is shown only where something was found."""
    began = monotonic()
    program = f"{sys.prefix}/bin/{command[0]}"  # of this environment, whatever is on the PATH
    done = subprocess.run(
        (program, *command[1:]), cwd=ROOT, check=False, stdout=output, stderr=output, text=True
    )
    if done.returncode and output is subprocess.PIPE:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
    return Checked(name=name, ok=not done.returncode, seconds=round(monotonic() - began, 2))
