"""A real Kafka, mongod and S3 server for the whole session, none of our own processes."""

import asyncio
from collections.abc import Iterator

import pytest

from compose.console import downloads
from compose.embedded import launch
from compose.embedded.stack import Layout, jars, settle
from compose.embedded.wiring import wire
from services.settings import Settings


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings that point at them; nothing is migrated. They die with the test runner."""
    settings = Settings(home=tmp_path_factory.mktemp("stack"))
    layout = Layout(parts_only=True)
    state, _ = settle(settings, layout)
    with downloads() as progress, asyncio.Runner() as runner:
        runner.run(launch.download(jars(settings), progress))
    supervisor = launch.start(settings.home, layout, with_us=True)
    try:
        for _ in launch.follow(settings.home, supervisor):
            pass
        yield wire(settings, state)
    finally:
        launch.stop(settings.home)
        supervisor.wait(timeout=30)
