"""A folder in -> the whole product running, a first picture, a URL and a key."""

import asyncio
from subprocess import Popen
from typing import Annotated

import typer

from compose.commands.first_key import ensure_first_key
from compose.commands.first_picture import PROMPT, first_picture
from compose.commands.starting import follow, not_left_behind
from compose.console import Json, downloads, err, print_json
from compose.embedded import launch, stack
from compose.embedded.locks import hold
from compose.embedded.stack import Layout
from compose.embedded.status import is_running
from compose.embedded.wiring import wire
from compose.running import home, known_state
from compose.summary import print_summary, summary
from services.engine.catalogue import Catalogue
from services.settings import Settings

RANDOM_MODEL = "tiny"  #: what the catalogue has where no model was trained

Detach = Annotated[bool, typer.Option("--detach", "-d", help="Return when ready (the default).")]
Foreground = Annotated[bool, typer.Option("--foreground", help="Stay, and stop all at Ctrl-C.")]
Brokers = Annotated[
    int | None, typer.Option(min=1, max=3, help="Kafka nodes; fixed at a home's first up.")
]
Apis = Annotated[int, typer.Option("--api", min=1, max=16, help="API processes.")]
Generators = Annotated[int, typer.Option(min=0, max=16, help="Generator processes.")]


def up(  # noqa: PLR0913, PLR0917
    detach: Detach = False,
    foreground: Foreground = False,
    brokers: Brokers = None,
    api: Apis = 1,
    generators: Generators = 1,
    json: Json = False,
) -> None:
    """Start everything and make a first picture."""
    layout = Layout(brokers=brokers, api=api, generators=generators)
    with hold(home() / "up.lock"):
        supervisor = None if is_running(home()) else _start(layout, with_us=foreground)
    if supervisor is None:
        err.print("it runs already; `down` first, where it should start otherwise")
    with not_left_behind(supervisor):
        _until_it_works(supervisor, json=json)
        if foreground and supervisor is not None:
            _stay(supervisor)


def _start(layout: Layout, *, with_us: bool) -> Popen[bytes]:
    settings = Settings()
    settled, moved = stack.settle(settings, layout)
    for name in moved:
        err.print(f"{name} moves to port {settled.ports[name]}: its old one is taken")
    with downloads() as progress:
        asyncio.run(launch.download(stack.jars(settings), progress))
    return launch.start(home(), layout, with_us=with_us)


def _until_it_works(supervisor: Popen[bytes] | None, *, json: bool) -> None:
    follow(home(), supervisor)
    settled = known_state()
    settings = wire(Settings(), settled)
    key = asyncio.run(ensure_first_key(settings, settled))
    picture, seconds = first_picture(settled.url, key, settings.home)
    found = summary(settings, settled.url, key)
    if json:
        print_json(found)
        return
    random = Catalogue.load(settings.engine.models).default.id == RANDOM_MODEL
    print_summary(found, picture, seconds, PROMPT, random_weights=random)


def _stay(supervisor: Popen[bytes]) -> None:
    """Until Ctrl-C, SIGTERM, or until `down` is called elsewhere."""
    err.print("running; Ctrl-C stops everything")
    try:
        supervisor.wait()
    except KeyboardInterrupt:
        launch.stop(home())
