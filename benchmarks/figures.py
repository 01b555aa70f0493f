"""Pairs of measurements in, a row of the table out. Pure: no I/O, no clock."""

from collections.abc import Sequence
from statistics import median

from schemas.common import Value


class Side(Value):
    """What one side did in one round, or over all of them; `value` is in the row's unit."""

    value: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_ms_per_item: float | None = None  #: of the measured process alone


class Pair(Value):
    ours: Side
    floor: Side

    @property
    def ratio(self) -> float:
        return self.ours.value / self.floor.value


#: The samples of ours and of the floor, in the row's unit.
Round = tuple[Sequence[float], Sequence[float]]


class Row(Value):
    """A line of the table; `met` is None where nothing is required."""

    what: str
    unit: str
    ours: float
    floor: float
    ratio: float
    ratios: tuple[float, float]  #: the lowest and the highest of the pairs
    required: str = ""
    met: bool | None = None
    pairs: int
    ours_detail: Side
    floor_detail: Side


def rate_row(what: str, unit: str, pairs: Sequence[Pair], at_least: float) -> Row:
    """More is better: the median of the pairs' ratios must reach `at_least`."""
    ratio = median(pair.ratio for pair in pairs)
    row = _row(what, unit, pairs)
    return row.model_copy(update={"required": f"ratio ≥ {at_least:g}", "met": ratio >= at_least})


def excess_row(
    what: str, unit: str, rounds: Sequence[Round], share: float, at_most: float | None = None
) -> Row:
    """Less is better: the quantile `share` of all rounds may exceed the floor's by `at_most`."""
    pairs = [
        Pair(ours=Side(value=quantile(ours, share)), floor=Side(value=quantile(floor, share)))
        for ours, floor in rounds
    ]
    ours = quantile([each for one, _ in rounds for each in one], share)
    floor = quantile([each for _, other in rounds for each in other], share)
    row = _row(what, unit, pairs).model_copy(
        update={"ours": ours, "floor": floor, "ratio": ours / floor}
    )
    if at_most is None:
        return row
    required = f"≤ floor + {at_most:g} {unit}"
    return row.model_copy(update={"required": required, "met": ours - floor <= at_most})


def ratio_row(what: str, unit: str, rounds: Sequence[Round], share: float, at_most: float) -> Row:
    """Less is better: the quantile `share` of all rounds may be `at_most` times the floor's."""
    row = excess_row(what, unit, rounds, share)
    required = f"ratio ≤ {at_most:g}"
    return row.model_copy(update={"required": required, "met": row.ratio <= at_most})


def error_row(what: str, rounds: Sequence[Round], at_most: float) -> Row:
    """Less is better: the median error, in percent; the floor is what a guess would have missed."""
    row = excess_row(what, "%", rounds, 0.5)
    return row.model_copy(update={"required": f"≤ {at_most:g} %", "met": row.ours <= at_most})


def quantile(samples: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of at least one sample."""
    ordered = sorted(samples)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def _row(what: str, unit: str, pairs: Sequence[Pair]) -> Row:
    ours, floor = _median([pair.ours for pair in pairs]), _median([pair.floor for pair in pairs])
    ratios = [pair.ratio for pair in pairs]
    return Row(
        what=what,
        unit=unit,
        ours=ours.value,
        floor=floor.value,
        ratio=median(ratios),
        ratios=(min(ratios), max(ratios)),
        pairs=len(pairs),
        ours_detail=ours,
        floor_detail=floor,
    )


def _median(sides: Sequence[Side]) -> Side:
    def of(name: str) -> float | None:
        known = [value for side in sides if (value := getattr(side, name)) is not None]
        return median(known) if known else None

    return Side(
        value=median(side.value for side in sides),
        p50_ms=of("p50_ms"),
        p99_ms=of("p99_ms"),
        cpu_ms_per_item=of("cpu_ms_per_item"),
    )
