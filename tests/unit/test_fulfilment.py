"""What a bar shows of a run: it only ever moves on."""

from schemas.jobs import Stage
from services.fulfilment import _Latest


def test_percent_never_falls_and_ends_below_a_hundred() -> None:
    latest = _Latest()
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
    latest = _Latest()

    latest.note(Stage.DENOISING, 0, 0)

    assert latest.newest.percent == 0
