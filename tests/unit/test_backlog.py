"""What is ahead drains, but not below what is left of a run that nobody interrupts."""

import random

import pytest

from services.backlog import Backlog
from services.standing import Runs, Standing, Waits

BATCH = Waits(2, "ada")


def standing(held: float = 0.0, **batch: int) -> Standing:
    """`batch`: its runs of one second and of three."""
    runs = Runs().and_another(1.0, batch.get("short", 0)).and_another(3.0, batch.get("long", 0))
    return Standing({BATCH: runs}, held, weights={})


def test_half_of_a_less_urgent_run_is_ahead_as_long_as_there_are_any() -> None:
    backlog = Backlog(standing(short=4), lane=0, workers=1, moment=0.0)

    assert [backlog.left(moment) for moment in (0.0, 3.0, 3.7, 5.0)] == [
        0.5,
        0.5,
        pytest.approx(0.3),
        0.0,
    ]


def test_a_long_run_is_met_more_often_than_a_short_one() -> None:
    backlog = Backlog(standing(short=3, long=1), lane=0, workers=1, moment=0.0)

    assert backlog.left(0.0) == (3 * 1.0 + 9.0) / (2 * 6.0)


def test_of_the_less_urgent_the_most_urgent_are_met() -> None:
    waiting = {Waits(1, "ada"): Runs().and_another(2.0, 5), BATCH: Runs().and_another(8.0, 5)}
    backlog = Backlog(Standing(waiting, held=0.0, weights={}), lane=0, workers=1, moment=0.0)

    assert backlog.left(0.0) == 1.0


def test_newcomers_wait_for_it_once_and_then_for_each_other() -> None:
    backlog = Backlog(standing(short=9), lane=0, workers=1, moment=0.0)
    for number in range(3):
        backlog.come(0, 2.0, moment=1.0 + number * 0.25)

    assert backlog.left(1.5) == 0.5 + 3 * 2.0 - 0.5


def test_what_is_held_is_waited_for_instead() -> None:
    backlog = Backlog(standing(held=0.8, short=4), lane=0, workers=1, moment=0.0)

    assert backlog.left(0.0) == 0.8
    assert backlog.left(2.0) == 0.5


def test_less_urgent_work_that_has_just_come_is_begun_too() -> None:
    backlog = Backlog(standing(), lane=0, workers=2, moment=0.0)
    before = backlog.left(1.0)
    for _ in range(4):
        backlog.come(2, 1.0, moment=2.0)

    assert (before, backlog.left(2.0), backlog.left(9.0)) == (0.0, 0.5, 0.0)


def test_the_least_urgent_wait_for_nobody_behind_them() -> None:
    backlog = Backlog(standing(long=2), lane=2, workers=1, moment=0.0)

    assert [backlog.left(moment) for moment in (0.0, 5.0, 6.0)] == [6.0, 1.0, 0.0]


def test_who_comes_at_any_moment_waits_as_long_on_average() -> None:
    """One worker, who begins with the next batch run whenever nothing urgent is there."""
    drawn = random.Random(7)
    runs = [drawn.choice([1.0, 1.0, 3.0]) for _ in range(4000)]
    ends, end = [], 0.0
    for seconds in runs:
        ends.append(end := end + seconds)
    moments = sorted(drawn.uniform(0.0, end) for _ in range(4000))
    waited, at = 0.0, 0
    for moment in moments:
        while ends[at] < moment:
            at += 1
        waited += ends[at] - moment
    counted = Runs()
    for seconds in runs:
        counted = counted.and_another(seconds)

    assert waited / len(moments) == pytest.approx(counted.residual, rel=0.05)
