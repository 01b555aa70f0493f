"""Wishes -> the same with the caller's trace, and with when their pictures are expected.

What is admitted is told to the estimates: it is ahead of whoever asks next.
"""

from collections.abc import Sequence

from api.requests import traceparent
from api.state import AppRequest
from services.admission import Admitted, Wish


def promised(request: AppRequest, project: str, wishes: Sequence[Wish]) -> list[Wish]:
    """Those of one request are made one after another."""
    expected = request.state["estimates"].one_after_another(
        project, [(wish.spec, wish.lane) for wish in wishes]
    )
    told = [
        {"traceparent": traceparent(request), "estimated_seconds": seconds} for seconds in expected
    ]
    return [
        wish.model_copy(update={name: value for name, value in each.items() if value})
        for wish, each in zip(wishes, told, strict=True)
    ]


def counted(request: AppRequest, admitted: Admitted) -> Admitted:
    """Jobs of an answer that is given again were counted the first time."""
    if not admitted.replayed:
        request.state["estimates"].admitted(admitted.jobs)
    return admitted
