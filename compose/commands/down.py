"""Stop everything that `up` started in this home; its data stays."""

from time import monotonic

import typer

from compose.console import Json, err, print_json
from compose.embedded import launch
from compose.running import home
from schemas.common import Value


class Stopped(Value):
    stopped: bool  #: False: nothing ran
    seconds: float


def down(json: Json = False) -> None:
    """Stop everything; the data stays."""
    began = monotonic()
    with err.status("stopping"):
        stopped = Stopped(stopped=launch.stop(home()), seconds=round(monotonic() - began, 2))
    if json:
        print_json(stopped)
    elif stopped.stopped:
        typer.echo(f"stopped in {stopped.seconds} s; the data stays in {home()}")
    else:
        typer.echo(f"nothing runs in {home()}")
