"""What the design promises of a job's events: kept by its repeats, broken by each of these."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from schemas.cloudevents import CloudEvent
from schemas.jobs import Progress, Stage
from schemas.queue import QueueRow
from services import run_events
from services.event_log import LogRecord
from services.log_invariants import Invariants, Violation
from tests.connected.queue_parts import completed, make_row

FIRST = make_row(attempt=1)
SECOND = FIRST.model_copy(update={"attempt": 2})
RETRY = make_row(id=uuid4(), job=FIRST.job, run_number=2, attempt=1)
ACCEPTED = run_events.accepted(FIRST, None)
STARTED = run_events.started(FIRST, "w")
COMPLETED = completed(FIRST)
PROGRESS = run_events.progressed(FIRST, Progress(stage=Stage.DENOISING))
FOREIGN = make_row(id=RETRY.id, job=FIRST.job, run_number=2, project="another")


def heard(*events: CloudEvent, key: UUID = FIRST.job) -> list[str]:
    """The rules that are broken, in order."""
    found, invariants = list[Violation](), Invariants()
    for offset, event in enumerate(events):
        found += invariants.hear(record(offset, str(key).encode(), event.encode()))
    return [violation.rule for violation in found]


def record(offset: int, key: bytes, value: bytes) -> LogRecord:
    return LogRecord("generation.events", 0, offset, datetime.now(UTC), key, value)


def failed(row: QueueRow) -> CloudEvent:
    return run_events.failed(row, "out_of_memory", "12 GiB short")


@pytest.mark.parametrize(
    "events",
    [
        (ACCEPTED, STARTED, COMPLETED),
        (ACCEPTED, run_events.cancelled(FIRST, "overtaken")),
        (ACCEPTED, STARTED, run_events.started(SECOND, "w"), STARTED, failed(SECOND)),
        (ACCEPTED, STARTED, COMPLETED, PROGRESS, COMPLETED, ACCEPTED, STARTED),
        (ACCEPTED, failed(FIRST), run_events.accepted(RETRY, None), completed(RETRY)),
    ],
)
def test_a_life_and_its_repeats_break_nothing(events: tuple[CloudEvent, ...]) -> None:
    assert heard(*events) == []


@pytest.mark.parametrize(
    ("events", "rule"),
    [
        ((ACCEPTED, STARTED, COMPLETED, failed(FIRST)), "one_outcome"),
        ((ACCEPTED, COMPLETED, completed(FIRST)), "one_outcome"),
        ((ACCEPTED, COMPLETED, STARTED), "nothing_after"),
        ((STARTED, ACCEPTED), "order"),
        ((COMPLETED,), "order"),
        ((ACCEPTED, run_events.started(SECOND, "w"), STARTED), "order"),
        ((ACCEPTED, STARTED, run_events.accepted(RETRY, None)), "order"),
        ((run_events.accepted(RETRY, None), completed(RETRY), ACCEPTED), "order"),
        ((ACCEPTED.model_copy(update={"id": "drawn"}),), "id"),
        ((PROGRESS.model_copy(update={"id": STARTED.id}),), "id"),
        ((ACCEPTED, COMPLETED, run_events.accepted(FOREIGN, None)), "project"),
    ],
)
def test_each_breach_is_named(events: tuple[CloudEvent, ...], rule: str) -> None:
    assert heard(*events) == [rule]


def test_a_key_that_is_not_the_job_s_id_is_named() -> None:
    assert heard(ACCEPTED, key=uuid4()) == ["key"]


def test_what_is_no_event_is_named_with_its_place() -> None:
    (violation,) = Invariants().hear(record(7, b"key", b"no JSON"))

    assert (violation.rule, violation.partition, violation.offset) == ("readable", 0, 7)
