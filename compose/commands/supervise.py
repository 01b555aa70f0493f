"""Keep a settled home's stack running until SIGTERM (what `up` starts in the background)."""

import asyncio
from typing import Annotated

import structlog
import typer

from compose.embedded import stack, state
from compose.embedded.stack import Layout
from compose.embedded.state import State
from compose.errors import CommandFailed
from services.settings import Settings


def supervise(
    api: Annotated[int, typer.Option()] = 1,
    generators: Annotated[int, typer.Option()] = 1,
    parts_only: Annotated[bool, typer.Option("--parts-only")] = False,
) -> None:
    """Keep this home's processes running until SIGTERM."""
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.add_log_level,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ]
    )
    settings = Settings()
    settled = state.load(settings.home.absolute())
    if settled is None:
        raise CommandFailed(f"there is no state in {settings.home}", "run `./darkroom up`")
    layout = Layout(api=api, generators=generators, parts_only=parts_only)
    asyncio.run(_run(settings, settled, layout))


async def _run(settings: Settings, settled: State, layout: Layout) -> None:
    await stack.supervisor(settings, settled, layout).run()
