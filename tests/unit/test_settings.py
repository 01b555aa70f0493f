"""Durations as the README promises them: seconds, or ISO 8601."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from services.settings import Settings


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2", timedelta(seconds=2)),
        ("0.25", timedelta(milliseconds=250)),
        ("PT1M", timedelta(minutes=1)),
        ("00:00:05", timedelta(seconds=5)),
    ],
)
def test_a_duration_is_seconds_or_iso_8601(
    given: str, meant: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_OUTBOX__POLL", given)

    assert Settings().outbox.poll == meant


@pytest.mark.parametrize("given", ["soon", "nan", "inf", ""])
def test_what_is_no_duration_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_OUTBOX__POLL", given)

    with pytest.raises(ValidationError, match=r"outbox\.poll"):
        Settings()
