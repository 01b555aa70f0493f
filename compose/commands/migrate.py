"""Topics, collections and indexes made or brought up to date; safe to repeat."""

import asyncio

from compose.console import err
from compose.errors import CommandFailed
from compose.running import running_settings
from services.errors import Unavailable
from services.migration import migrate as migrate_to_present

VARIABLES = "DARKROOM_KAFKA__BOOTSTRAP_SERVERS, DARKROOM_MONGO__URL, DARKROOM_S3__ENDPOINT_URL"


def migrate() -> None:
    """Make topics, collections and indexes, as `up` does."""
    told: set[str] = set()

    def waits(server: str, reason: str) -> None:
        line = f"waits for {server}: {reason}"
        if line not in told:
            told.add(line)
            err.print(line)

    try:
        asyncio.run(migrate_to_present(running_settings(), waits))
    except Unavailable as error:
        hint = f"start it, or correct where it is looked for: {VARIABLES}"
        raise CommandFailed(error.message, hint) from error
