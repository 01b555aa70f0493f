"""When a process counts as ready, and how long `up` has patience with those that don't."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from compose.embedded import launch, probes, status
from compose.embedded.apps import ALIVE_SECONDS, ENGINE_READY, GENERATOR, Worker
from compose.embedded.locks import try_hold
from compose.embedded.ports import draw
from compose.embedded.status import ProcessStatus, StackStatus
from compose.errors import CommandFailed
from services import metrics
from services.settings import Settings
from tests.conditions import until_answered

Serve = Callable[[], tuple[int, Gauge]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """The metrics of a generator whose model is not loaded."""
    servers = []

    def start() -> tuple[int, Gauge]:
        registry, port = CollectorRegistry(), draw(set())
        gauge = Gauge(ENGINE_READY, "Of a stand-in.", registry=registry)
        servers.append(start_http_server(port, "127.0.0.1", registry=registry))
        return port, gauge

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_generator_has_the_number_that_is_asked_for() -> None:
    described = [family.name for family in metrics.ENGINE_READY.collect()]

    assert described == [ENGINE_READY]


async def test_a_generator_is_ready_when_its_model_is_loaded(serve: Serve) -> None:
    port, gauge = serve()
    generator = Worker("generator", GENERATOR, Settings(), port, 1)
    outbox = Worker("outbox", "workers.outbox", Settings(), port, 1)
    generator.prepare()
    await until_answered(outbox.ready, ALIVE_SECONDS + 20)

    assert not await generator.ready()
    gauge.set(1)
    assert await generator.ready()


async def test_who_serves_no_numbers_has_none() -> None:
    assert await probes.metric(draw(set()), ENGINE_READY) is None


@pytest.mark.parametrize(("late", "patient"), [("generator", True), ("projector", False)])
def test_a_model_may_load_for_longer_than_a_process_may_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str, patient: bool
) -> None:
    monkeypatch.setattr(launch, "READY_SECONDS", 0.0)
    holding = try_hold(tmp_path / status.LOCK)
    assert holding is not None
    waiting = StackStatus(
        pid=1,
        phase="starting",
        processes=(ProcessStatus(name="api", pid=2, ready=True), ProcessStatus(name=late, pid=3)),
    )
    status.write(tmp_path, waiting)
    with holding:
        if patient:
            assert next(launch.follow(tmp_path)) == waiting
        else:
            with pytest.raises(CommandFailed, match="not ready: projector"):
                next(launch.follow(tmp_path))
