"""What every test gets: no configuration from outside, and the real stack where it asks for it."""

import os

import pytest

from services.migration import migrate
from services.settings import Settings

pytest_plugins = ("tests.connected.stack",)

#: Where the embedded parts' files come from says nothing about how they are used.
DOWNLOADS = {"DARKROOM_CACHE", "DARKROOM_MAVEN_REPOSITORY", "DARKROOM_MONGOD"}

for name in [name for name in os.environ if name.startswith(("DARKROOM_", "IMAGE_GEN_"))]:
    if name not in DOWNLOADS:
        del os.environ[name]


@pytest.fixture(scope="session")
async def migrated(stack: Settings) -> Settings:
    """The stack with topics, collections, indexes and the bucket."""
    await migrate(stack)
    return stack
