"""A settled home and a layout in -> its stack kept running until SIGTERM.

`up` starts this as a process in the background; without the command line's own imports it is there
half a second earlier.
"""

import asyncio
import sys

import structlog

from compose.embedded import stack
from compose.embedded.stack import Layout
from compose.embedded.state import State, load
from compose.errors import CommandFailed
from services.settings import Settings


def main(layout: Layout) -> None:
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.add_log_level,
            structlog.processors.JSONRenderer(),
        ]
    )
    settings = Settings()
    state = load(settings.home.absolute())
    if state is None:
        raise CommandFailed(f"there is no state in {settings.home}; `./darkroom up` makes it")
    asyncio.run(_keep(settings, state, layout))


async def _keep(settings: Settings, state: State, layout: Layout) -> None:
    await stack.supervisor(settings, state, layout).run()


if __name__ == "__main__":
    try:
        main(Layout.model_validate_json(sys.argv[1]))
    except CommandFailed as error:
        sys.exit(str(error))
