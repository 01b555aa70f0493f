"""What the fair order leaves for after a newcomer, however many projects wait."""

import random

from services.standing import Runs, Standing, Waits


def test_more_urgent_lanes_and_what_is_held_go_before_all() -> None:
    waiting = {Waits(lane, "ada"): Runs(2.0 * 2**lane) for lane in range(3)}

    standing = Standing(waiting, held=1.0, weights={})

    assert [standing.until(lane) for lane in range(3)] == [3.0, 7.0, 15.0]


def test_less_urgent_lanes_are_behind_with_the_lengths_of_their_runs() -> None:
    runs = Runs().and_another(1.0, times=3).and_another(3.0)
    waits = (Waits(0, "ada"), Waits(1, "ada"), Waits(2, "ada"), Waits(2, "bob"))
    standing = Standing(dict.fromkeys(waits, runs), held=7.0, weights={})

    assert runs == Runs(3 * 1.0 + 3.0, squares=3 * 1.0 + 9.0)
    assert standing.behind(0) == {1: runs, 2: Runs(12.0, squares=24.0)}
    assert standing.behind(1) == {2: Runs(12.0, squares=24.0)}
    assert standing.behind(2) == {}


def test_others_get_as_much_as_the_newcomer_until_he_has_his() -> None:
    waiting = {
        Waits(0, "flood"): Runs(100.0),
        Waits(0, "small"): Runs(3.0),
        Waits(1, "flood"): Runs(9.0),
    }
    standing = Standing(waiting, held=0.0, weights={})

    assert standing.after(Waits(0, "ada"), 5.0) == 95.0
    assert standing.after(Waits(0, "ada"), 2.0) == 98.0 + 1.0
    assert standing.after(Waits(0, "flood"), 100.0 + 5.0) == 0.0
    assert standing.after(Waits(2, "ada"), 5.0) == 0.0


def test_a_weight_of_two_gets_twice_as_much() -> None:
    standing = Standing(
        {Waits(0, "flood"): Runs(100.0)}, held=0.0, weights={"ada": 2.0, "flood": 0.5}
    )

    assert standing.after(Waits(0, "ada"), 8.0) == 100.0 - 8.0 / 2.0 * 0.5


def test_it_is_what_adding_up_says() -> None:
    drawn = random.Random(7)
    names = [str(number) for number in range(40)]
    weights = {name: drawn.choice([0.5, 1.0, 3.0]) for name in names}
    waiting = {Waits(0, name): Runs(drawn.uniform(0.0, 50.0)) for name in names}
    standing = Standing(waiting, held=0.0, weights=weights)

    for own in (0.0, 1.0, 20.0, 60.0):
        left = [max(waiting[Waits(0, name)].seconds - own * weights[name], 0.0) for name in names]
        assert abs(standing.after(Waits(0, "ada"), own) - sum(left)) < 1e-6
