"""Settings in -> our own processes as parts: api, generator, projector, outbox."""

import sys
from time import monotonic

from compose.embedded.parts import Command
from compose.embedded.ports import HOST
from compose.embedded.probes import http_status, metric
from compose.embedded.wiring import ROOT, environment
from services.settings import Settings

ALIVE_SECONDS = 1.0  #: a worker that lived this long has passed its start
KEPT_ALIVE = 75  #: seconds; clients' pools, of 5 to 60, must close idle connections first
GRACE_SECONDS = 5.0


GENERATOR = "workers.generator"
ENGINE_READY = "darkroom_engine_ready"  #: the generator's own word that its model is loaded


class Worker:
    """A process whose only port is that of its metrics; its module is its command."""

    def __init__(
        self, name: str, module: str, settings: Settings, port: int | None, stop_seconds: float
    ) -> None:
        self.name = name
        self.stop_seconds = stop_seconds
        self._model_at = port if module == GENERATOR else None
        served = settings.metrics.model_copy(update={"port": port})
        self.command = python(settings.model_copy(update={"metrics": served}), "-m", module)
        self._started_at = monotonic()

    def prepare(self) -> None:
        self._started_at = monotonic()

    def after_stop(self) -> None:
        pass

    async def ready(self) -> bool:
        if monotonic() - self._started_at <= ALIVE_SECONDS:
            return False
        return self._model_at is None or await metric(self._model_at, ENGINE_READY) == 1


class Api:
    def __init__(self, name: str, settings: Settings, port: int) -> None:
        self.name = name
        self.stop_seconds = GRACE_SECONDS
        self.command = python(
            settings,
            *("-m", "uvicorn", "api.app:create_app", "--factory"),
            *("--host", HOST, "--port", str(port), "--http", "httptools", "--loop", "uvloop"),
            *("--timeout-keep-alive", str(KEPT_ALIVE)),
            *("--no-access-log", "--log-level", "warning"),
        )
        self._port = port

    def prepare(self) -> None:
        pass

    def after_stop(self) -> None:
        pass

    async def ready(self) -> bool:
        return await http_status(self._port, "/readyz") == 200


def python(settings: Settings, *arguments: str) -> Command:
    """Ours from anywhere: -P keeps the folder it runs in off the import path."""
    return Command(
        arguments=(sys.executable, "-P", *arguments), environment=environment(settings), folder=ROOT
    )


def metrics_port(name: str) -> str:
    """Under which name a home keeps the port of that worker's metrics."""
    return f"{name}-metrics"


def numbered(name: str, count: int) -> tuple[str, ...]:
    """`api`, `api-2`, `api-3`."""
    return (name, *(f"{name}-{number}" for number in range(2, count + 1)))
