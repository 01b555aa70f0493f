"""Pairs in, rows out: what counts as met, and by which of the figures."""

import pytest

from benchmarks.figures import Pair, Side, error_row, excess_row, quantile, rate_row
from benchmarks.promises import missed


def pair(ours: float, floor: float) -> Pair:
    return Pair(ours=Side(value=ours, cpu_ms_per_item=ours / 100), floor=Side(value=floor))


def test_the_ratio_is_the_median_of_pairs_so_that_one_disturbed_pair_decides_nothing() -> None:
    row = rate_row("accepts", "1/s", [pair(70, 100), pair(10, 100), pair(80, 100)], 0.6)

    assert row.ratio == pytest.approx(0.7)
    assert row.ratios == pytest.approx((0.1, 0.8))
    assert row.met is True


def test_a_ratio_under_the_required_one_is_missed() -> None:
    assert rate_row("accepts", "1/s", [pair(59, 100)], 0.6).met is False


def test_details_that_one_side_does_not_know_stay_unknown() -> None:
    row = rate_row("accepts", "1/s", [pair(100, 100), pair(300, 100)], 0.6)

    assert row.ours_detail.cpu_ms_per_item == pytest.approx(2.0)
    assert row.floor_detail.cpu_ms_per_item is None


def test_an_excess_is_taken_over_the_samples_of_all_rounds() -> None:
    rounds = [([30.0, 31.0], [10.0, 11.0]), ([50.0], [12.0])]

    row = excess_row("overhead p50", "ms", rounds, 0.5, at_most=20)

    assert (row.ours, row.floor) == (31.0, 11.0)
    assert row.required == "≤ floor + 20 ms"
    assert row.met is True


def test_an_excess_over_the_limit_is_missed() -> None:
    assert excess_row("overhead", "ms", [([31.0], [10.0])], 0.5, at_most=20).met is False


def test_a_row_without_a_limit_is_neither_met_nor_missed() -> None:
    assert excess_row("overhead p99", "ms", [([31.0], [10.0])], 0.99).met is None


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_quantiles_are_samples_that_were_seen(share: float, expected: float) -> None:
    assert quantile([float(number) for number in range(100, 0, -1)], share) == expected


def test_an_error_is_the_median_of_all_rounds_and_judged_by_itself() -> None:
    rounds = [([10.0, 20.0, 90.0], [100.0] * 3), ([30.0, 40.0], [50.0] * 2)]

    row = error_row("promises", rounds, at_most=30)

    assert (row.ours, row.floor, row.unit) == (30.0, 100.0, "%")
    assert row.met is True
    assert error_row("promises", rounds, at_most=29).met is False
    assert missed(promised=3.0, took=4.0) == missed(promised=5.0, took=4.0) == 25.0
