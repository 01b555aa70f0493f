"""Flags, then environment, then the state file in -> a client of the running API."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from compose.client import Client
from compose.errors import CommandFailed
from compose.running import check_runs, known_state

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="DARKROOM_URL", help="The API's origin; default: this home's."),
]
Key = Annotated[
    str | None,
    typer.Option("--key", envvar="DARKROOM_API_KEY", help="An API key; default: this home's."),
]


@contextmanager
def client(url: str | None, key: str | None) -> Iterator[Client]:
    """This home's own stack is not waited for where nothing runs."""
    hopeless = (lambda: None) if url else check_runs
    with Client.open(url or known_state().url, key or _own_key(), hopeless) as opened:
        yield opened


def _own_key() -> str:
    own = known_state().key
    if own is None:
        raise CommandFailed("this home has no key yet", "run `./darkroom up`, or give --key")
    return own.key
