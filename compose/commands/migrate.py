"""Topics, collections and indexes made or brought up to date; safe to repeat."""

import asyncio

from compose.running import running_settings
from services.migration import migrate as migrate_to_present


def migrate() -> None:
    """Make topics, collections and indexes (`up` does it by itself; for external parts)."""
    asyncio.run(migrate_to_present(running_settings()))
