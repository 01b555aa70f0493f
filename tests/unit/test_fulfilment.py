"""What a bar shows of a run, and how often an engine may fail to start."""

from typing import Any

import pytest

from schemas.jobs import Stage
from services import fulfilment
from services.errors import EngineDied
from services.fulfilment import STARTS, Fulfilment
from services.progress import Latest


class FrailEngine:
    """Dies `deaths` times while its model loads."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths
        self.starts = 0

    async def warm(self) -> None:
        self.starts += 1
        if self.starts <= self.deaths:
            raise EngineDied


def worker_of(engine: FrailEngine) -> Fulfilment:
    parts: Any = dict.fromkeys(
        (
            *("worker", "catalogue", "queue", "leases", "outcomes", "store"),
            *("publisher", "durations", "enhancements", "sourcing"),
        )
    )
    return Fulfilment(**{**parts, "engine": engine})


async def test_an_engine_that_dies_as_it_loads_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fulfilment, "RESTART_PAUSE", 0.0)
    engine = FrailEngine(deaths=STARTS - 1)

    await worker_of(engine).ready()

    assert engine.starts == STARTS


async def test_a_worker_whose_engine_never_loads_ends_so_that_it_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fulfilment, "RESTART_PAUSE", 0.0)
    engine = FrailEngine(deaths=STARTS)

    with pytest.raises(EngineDied):
        await worker_of(engine).ready()


def test_percent_never_falls_and_ends_below_a_hundred() -> None:
    latest = Latest()
    shown = [latest.newest.percent]
    told = [
        (Stage.LOADING_MODEL, 0, 0),
        (Stage.ENCODING_PROMPT, 0, 0),
        (Stage.DENOISING, 0, 4),
        (Stage.DENOISING, 3, 4),
        (Stage.DENOISING, 1, 4),
        (Stage.DECODING, 4, 4),
        (Stage.DENOISING, 0, 4),
        (Stage.UPLOADING, 4, 4),
    ]
    for stage, step, steps in told:
        latest.note(stage, step, steps)
        shown.append(latest.newest.percent)

    assert shown == sorted(shown)
    assert shown == [0, 0, 5, 10, 70, 70, 90, 90, 95]
    assert latest.newest.stage is Stage.UPLOADING


def test_a_stage_without_steps_is_no_division_by_zero() -> None:
    latest = Latest()

    latest.note(Stage.DENOISING, 0, 0)

    assert latest.newest.percent == 0
