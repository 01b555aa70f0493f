"""What was admitted lately drains as time passes, and tells how often the next are overtaken."""

from uuid import uuid4

from services.arrivals import Arrivals
from services.standing import Runs, Standing, Waits

DEMO = "demo"
NOTHING = Standing({}, held=0.0, weights={})


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def read(seconds: float) -> Standing:
    return Standing({Waits(0, DEMO): Runs(seconds)}, held=0.0, weights={})


def test_what_was_read_and_what_came_since_drain_together() -> None:
    arrivals = Arrivals(clock := Clock())
    clock.now = 1.0
    arrivals.note(uuid4(), Waits(0, DEMO), seconds=4.0)
    clock.now = 2.0

    left = arrivals.backlog(read(6.0), lane=0, workers=2)

    assert left == 6.0 + 4.0 - 2 * 2.0


def test_nothing_drains_before_it_is_there() -> None:
    arrivals = Arrivals(clock := Clock())
    clock.now = 5.0
    arrivals.note(uuid4(), Waits(0, DEMO), seconds=4.0)
    clock.now = 6.0

    assert arrivals.backlog(read(2.0), lane=0, workers=1) == 3.0


def test_what_the_queue_has_is_counted_there_and_of_less_urgent_work_half_a_run() -> None:
    arrivals = Arrivals(Clock())
    arrivals.note(known := uuid4(), Waits(0, DEMO), seconds=4.0)
    for _ in range(3):
        arrivals.note(uuid4(), Waits(2, DEMO), seconds=1.0)

    arrivals.queue_read([known])

    assert arrivals.backlog(NOTHING, lane=1, workers=1) == 0.5


def test_what_never_gets_into_the_queue_is_forgotten() -> None:
    arrivals = Arrivals(clock := Clock())
    arrivals.note(uuid4(), Waits(0, DEMO), seconds=4.0)
    clock.now = 61.0

    assert arrivals.awaited() == []


def test_what_is_noted_again_is_counted_once() -> None:
    arrivals = Arrivals(Clock())
    run = uuid4()
    arrivals.note(run, Waits(0, DEMO), seconds=4.0)

    arrivals.note(run, Waits(0, DEMO), seconds=4.0)

    assert arrivals.backlog(NOTHING, lane=0, workers=1) == 4.0
    assert arrivals.delayed(10.0, lane=1, workers=1) < 10.0 + 2 * 4.0


def test_more_urgent_lanes_overtake_as_often_as_they_did_in_the_last_minute() -> None:
    arrivals = Arrivals(clock := Clock())
    arrivals.note(uuid4(), Waits(0, DEMO), seconds=50.0)
    clock.now = 100.0
    arrivals.note(uuid4(), Waits(0, DEMO), seconds=8.0)
    clock.now = 140.0

    assert arrivals.delayed(9.0, lane=1, workers=2) == 10.0, "a tenth of the time is theirs"
    assert arrivals.delayed(9.0, lane=0, workers=2) == 9.0


def test_a_burst_is_expected_to_last_but_not_for_ever() -> None:
    arrivals = Arrivals(clock := Clock())
    arrivals.note(uuid4(), Waits(0, DEMO), seconds=6.0)
    clock.now = 12.0

    assert arrivals.delayed(3.0, lane=2, workers=1) == 6.0, "half of the time is theirs"
    assert arrivals.delayed(600.0, lane=2, workers=1) == 603.0, "half of it comes again"


def test_a_flood_that_leaves_nothing_is_waited_for_once() -> None:
    arrivals = Arrivals(Clock())
    arrivals.note(uuid4(), Waits(0, DEMO), seconds=900.0)

    assert arrivals.delayed(1.0, lane=2, workers=1) == 451.0
