"""What happens in -> Prometheus' numbers of this process, served on a port of its own."""

from collections.abc import Sequence
from time import monotonic
from typing import Final

import structlog
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from schemas.events import GenerationCompleted, GenerationFailed, TerminalEvent
from schemas.jobs import Job, Stage
from schemas.queue import QueueRow
from services.run_events import LANES
from services.settings import MetricsSettings

log = structlog.get_logger()

#: Seconds. From a picture of the tiny model to one that takes minutes; eight rows a series.
WORK: Final = (0.1, 0.3, 1, 3, 10, 30, 100, 300)
ANSWER: Final = (0.002, 0.005, 0.01, 0.03, 0.1, 0.3, 1, 4, 60)

REQUEST_SECONDS: Final = Histogram(
    "darkroom_http_request_seconds",
    "Time to the end of an answer, by the route's template.",
    ("method", "route", "status"),
    buckets=ANSWER,
)
JOBS: Final = Counter(
    "darkroom_jobs_accepted",
    "Jobs that were admitted, by the door they came through.",
    ("dialect",),
)
REJECTED: Final = Counter("darkroom_commands_rejected", "Commands that could not be admitted.")
DEAD_LETTERS: Final = Counter(
    "darkroom_dead_letters", "Messages that could not be read or trusted.", ("error",)
)
REPUBLISHED: Final = Counter(
    "darkroom_outbox_republished", "Commands that the outbox has sent again."
)
LIBRARY_PUBLISHED: Final = Counter(
    "darkroom_library_events_published", "Events of libraries that the broker has acknowledged."
)
LIVE: Final = Counter("darkroom_live_pictures", "Live pictures that were found.", ("cache",))
CLAIMS: Final = Counter("darkroom_queue_claims", "Runs that this worker has leased.")
EXPIRIES: Final = Counter(
    "darkroom_queue_lease_expiries", "Leases that ended without an outcome: a worker died or hung."
)
OUTCOMES: Final = Counter(
    "darkroom_outcomes", "Runs that have ended, why if they failed.", ("outcome", "reason")
)
ENHANCEMENTS: Final = Counter(
    "darkroom_enhancements", "Prompts that were made better, and by what.", ("by",)
)
ENHANCEMENT_FAILURES: Final = Counter(
    "darkroom_enhancement_failures", "Language models that gave no prompt.", ("reason",)
)
ENGINE_DEATHS: Final = Counter(
    "darkroom_engine_deaths", "Engine processes that died, at work or loading."
)
ENGINE_READY: Final = Gauge("darkroom_engine_ready", "1 while a loaded engine is there, 0 before.")
STAGE_SECONDS: Final = Histogram(
    "darkroom_stage_seconds", "How long runs stay in each stage.", ("stage",), buckets=WORK
)
GENERATION_SECONDS: Final = Histogram(
    "darkroom_generation_seconds",
    "From the engine's first step to the last file of a run.",
    ("model", "tier"),
    buckets=WORK,
)
QUEUE_SECONDS: Final = Histogram(
    "darkroom_queue_wait_seconds",
    "From intake to the engine, of runs that succeeded.",
    ("lane",),
    buckets=WORK,
)
GPU_SECONDS: Final = Counter(
    "darkroom_gpu_seconds", "Seconds that models were at work.", ("model", "tier")
)
PICTURES: Final = Counter("darkroom_pictures", "Pictures that were made.", ("model", "tier"))
PROJECTED: Final = Counter(
    "darkroom_projected_events", "Events of the log by what became of them.", ("result",)
)

#: These are of the whole deployment; the outbox's process looks after them (`services.gauges`).
QUEUE_RUNS: Final = Gauge("darkroom_queue_runs", "Runs in the queue.", ("state", "lane", "model"))
QUEUE_OLDEST_SECONDS: Final = Gauge(
    "darkroom_queue_oldest_wait_seconds", "How long the oldest ready run waits.", ("lane", "model")
)
BEHIND: Final = Gauge(
    "darkroom_consumer_lag_records", "Records that are not consumed yet.", ("consumer", "topic")
)
BEHIND_SECONDS: Final = Gauge(
    "darkroom_consumer_lag_seconds", "Age of the oldest record not consumed yet.", ("consumer",)
)
UNPUBLISHED: Final = Gauge(
    "darkroom_unpublished", "Written, but not acknowledged by the broker yet.", ("what",)
)
QUARANTINE: Final = Gauge(
    "darkroom_quarantine_records", "Events that the projector could not fold."
)


def serve(settings: MetricsSettings) -> None:
    """`/metrics` on a thread of its own; a port that is taken stops nobody's work."""
    if settings.port is None:
        return
    try:
        start_http_server(settings.port, settings.host)
    except OSError as error:
        log.warning("metrics_not_served", port=settings.port, error=str(error))


def accepted(jobs: Sequence[Job]) -> None:
    for job in jobs:
        JOBS.labels(job.dialect).inc()


def decided(row: QueueRow, event: TerminalEvent) -> None:
    """Once an outcome, by the worker whose decision it was."""
    outcome = event.type.split(".")[-2]
    reason = event.data.reason if isinstance(event, GenerationFailed) else ""
    OUTCOMES.labels(outcome, reason).inc()
    if isinstance(event, GenerationCompleted):
        data = event.data
        GPU_SECONDS.labels(data.model, data.tier).inc(data.gpu_seconds)
        PICTURES.labels(data.model, data.tier).inc(len(data.images))
        GENERATION_SECONDS.labels(data.model, data.tier).observe(data.generation_seconds)
        QUEUE_SECONDS.labels(LANES[row.lane]).observe(data.queue_seconds)


def projected(**events: int) -> None:
    """By what became of them: `folded`, `missing` (their job is purged), `quarantined`."""
    for result, count in events.items():
        PROJECTED.labels(result).inc(count)


class StageClock:
    """Stages as they are entered -> how long each took; the last ends with `stop`."""

    def __init__(self) -> None:
        self._stage: Stage | None = None
        self._entered = 0.0

    def enter(self, stage: Stage) -> None:
        if stage is not self._stage:
            self.stop()
            self._stage, self._entered = stage, monotonic()

    def stop(self) -> None:
        if self._stage is not None:
            STAGE_SECONDS.labels(self._stage).observe(monotonic() - self._entered)
            self._stage = None
