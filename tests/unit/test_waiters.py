"""The bell rings for those whose job has ended, and for nobody else."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from schemas.cloudevents import CloudEvent
from schemas.jobs import Job
from services.event_log import LogRecord
from services.settings import KafkaSettings
from services.waiters import Waiters
from tests.connected.projection_parts import accepted, completed, failed, started
from tests.unit.api_fakes import make_job

ONE, OTHER = make_job(), make_job()


class HeardWaiters(Waiters):
    """Hears what a test tells it, and no Kafka."""

    async def _listen(self) -> None:
        self.ready = True

    def hear(self, event: CloudEvent, key: str | None = None) -> None:
        told = LogRecord(
            topic="generation.events",
            partition=0,
            offset=0,
            time=datetime.now(UTC),
            key=(key or event.subject or "").encode(),
            value=event.encode(),
        )
        self._ring(told)


@pytest.fixture
def waiters() -> HeardWaiters:
    return HeardWaiters(KafkaSettings())


@pytest.mark.parametrize("end", [completed, failed])
async def test_whoever_waits_for_a_job_hears_its_end(
    waiters: HeardWaiters, end: Callable[[Job], CloudEvent]
) -> None:
    with (
        waiters.bell([ONE.id]) as first,
        waiters.bell([OTHER.id, ONE.id]) as both,
        waiters.bell([OTHER.id]) as other,
    ):
        waiters.hear(end(ONE))

        assert (first.is_set(), both.is_set(), other.is_set()) == (True, True, False)


async def test_what_is_no_end_is_not_heard(waiters: HeardWaiters) -> None:
    with waiters.bell([ONE.id]) as bell:
        waiters.hear(accepted(ONE))
        waiters.hear(started(ONE))

        assert not bell.is_set()


async def test_nobody_is_left_behind(waiters: HeardWaiters) -> None:
    with waiters.bell([ONE.id, OTHER.id]) as gone:
        pass
    waiters.hear(completed(ONE))

    assert not gone.is_set()
    assert not waiters._bells


async def test_what_can_t_be_read_rings_for_nobody(waiters: HeardWaiters) -> None:
    with waiters.bell([ONE.id]) as bell:
        waiters._ring(LogRecord("t", 0, 0, datetime.now(UTC), str(ONE.id).encode(), b"nonsense"))
        waiters._ring(LogRecord("t", 0, 0, datetime.now(UTC), None, b""))

        assert not bell.is_set()
