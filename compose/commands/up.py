"""A folder in -> the whole product running, a first picture, a URL and a key."""

import asyncio
import signal
from pathlib import Path
from subprocess import Popen
from time import monotonic
from typing import Annotated

import typer
from rich.progress import Progress

from compose.client import Client
from compose.commands.first_key import ensure_first_key
from compose.commands.pictures import make
from compose.console import Json, downloads, err, print_json, spinners
from compose.embedded import launch, stack
from compose.embedded.locks import hold
from compose.embedded.stack import Layout
from compose.embedded.state import FirstKey
from compose.embedded.status import StackStatus, is_running
from compose.embedded.wiring import wire
from compose.errors import CommandFailed
from compose.running import home, known_state
from compose.summary import print_summary, summary
from schemas.jobs import Tier
from schemas.wire.blog import GenerationBody
from services.settings import Settings

MIGRATION = "migration"
FIRST_PICTURE = "first-picture.png"
FIRST_PROMPT = "a red circle on a blue background"

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
    """Start everything, make a first picture, and say how to go on."""
    layout = Layout(brokers=brokers, api=api, generators=generators)
    with hold(home() / "up.lock"):
        supervisor = None if is_running(home()) else _start(layout, with_us=foreground)
    if supervisor is None:
        err.print("it runs already; `down` first, where it should start otherwise")
    _follow(supervisor)
    settled = known_state()
    settings = wire(Settings(), settled)
    key = asyncio.run(ensure_first_key(settings, settled))
    picture, seconds = _first_picture(settled.url, key, settings.home)
    found = summary(settings, settled.url, key)
    if json:
        print_json(found)
    else:
        print_summary(found, picture, seconds, FIRST_PROMPT)
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


def _follow(supervisor: Popen[bytes] | None) -> None:
    """What we have started ourselves doesn't outlive a start that fails or is broken off."""
    try:
        with spinners() as progress:
            for status in launch.follow(home(), supervisor):
                _show(progress, status)
    except (CommandFailed, KeyboardInterrupt):
        if supervisor is not None:
            supervisor.terminate()
            supervisor.wait()
        raise


def _show(progress: Progress, status: StackStatus) -> None:
    shown = {task.description.split()[0]: task.id for task in progress.tasks}
    if status.phase == "migrating" and MIGRATION not in shown:
        progress.add_task(MIGRATION, total=1)
    if status.phase != "migrating" and MIGRATION in shown:
        progress.update(shown[MIGRATION], completed=1)
    for process in status.processes:
        if process.name not in shown and process.pid is not None:
            shown[process.name] = progress.add_task(process.name, total=1)
        if process.name in shown:
            again = f" (restarted {process.restarts} times)" if process.restarts else ""
            progress.update(
                shown[process.name],
                description=f"{process.name}{again}",
                completed=int(process.ready),
            )


def _first_picture(url: str, key: FirstKey, folder: Path) -> tuple[Path, float]:
    began = monotonic()
    body = GenerationBody(prompt=FIRST_PROMPT, quality=Tier.DRAFT)
    with Client.open(url, key.key) as client:
        _, files = make(client, body, folder / FIRST_PICTURE)
    return files[0], monotonic() - began


def _stay(supervisor: Popen[bytes]) -> None:
    """Until Ctrl-C, SIGTERM, or until `down` is called elsewhere."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    err.print("running; Ctrl-C stops everything")
    try:
        supervisor.wait()
    except KeyboardInterrupt:
        launch.stop(home())
