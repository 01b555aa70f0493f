"""What was admitted lately drains as time passes, and tells how often the next are overtaken."""

from uuid import uuid4

from services.arrivals import Arrivals


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_read_and_what_came_since_drain_together() -> None:
    arrivals = Arrivals(clock := Clock())
    clock.now = 1.0
    arrivals.note(uuid4(), lane=0, seconds=4.0)
    clock.now = 2.0

    left = arrivals.backlog(read=6.0, lane=0, workers=2)

    assert left == 6.0 + 4.0 - 2 * 2.0


def test_nothing_drains_before_it_is_there() -> None:
    arrivals = Arrivals(clock := Clock())
    clock.now = 5.0
    arrivals.note(uuid4(), lane=0, seconds=4.0)
    clock.now = 6.0

    assert arrivals.backlog(read=2.0, lane=0, workers=1) == 3.0


def test_what_the_queue_has_is_counted_there_and_less_urgent_work_nowhere() -> None:
    arrivals = Arrivals(Clock())
    arrivals.note(known := uuid4(), lane=0, seconds=4.0)
    arrivals.note(uuid4(), lane=2, seconds=8.0)

    arrivals.queue_read([known])

    assert arrivals.backlog(read=0.0, lane=1, workers=1) == 0.0


def test_what_never_gets_into_the_queue_is_forgotten() -> None:
    arrivals = Arrivals(clock := Clock())
    arrivals.note(uuid4(), lane=0, seconds=4.0)
    clock.now = 61.0

    assert arrivals.awaited() == []


def test_more_urgent_lanes_overtake_as_often_as_they_did_in_the_last_minute() -> None:
    arrivals = Arrivals(clock := Clock())
    arrivals.note(uuid4(), lane=0, seconds=50.0)
    clock.now = 100.0
    arrivals.note(uuid4(), lane=0, seconds=12.0)

    assert arrivals.overtaking(lane=1, workers=2) == 12.0 / (60 * 2)
    assert arrivals.overtaking(lane=0, workers=2) == 0.0


def test_a_flood_leaves_something_for_the_others() -> None:
    arrivals = Arrivals(Clock())
    arrivals.note(uuid4(), lane=0, seconds=1_000.0)

    assert arrivals.overtaking(lane=2, workers=1) == 0.8
