"""The fold: what events tell, in whatever order and however often they come."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import reduce
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import (
    AcceptedData,
    AdmissionError,
    CancelledData,
    CompletedData,
    FailedData,
    GenerationAccepted,
    GenerationCancelled,
    GenerationCompleted,
    GenerationEvent,
    GenerationFailed,
    GenerationProgress,
    GenerationRejected,
    GenerationStarted,
    ProgressData,
    RejectedData,
    StartedData,
)
from schemas.images import ImageSource, Picture
from schemas.jobs import Failure, JobState, Progress, Stage, Status, Tier
from services.projection import activity_of, fold, images_of

JOB = UUID(int=1)
RUN, RETRY = UUID(int=2), UUID(int=3)
START = datetime(2026, 11, 21, 5, 20, tzinfo=UTC)
SHA = "0" * 64
ENVELOPE = {"id": "e", "source": "/test", "subject": str(JOB), "projectid": "demo"}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def accepted(run: UUID = RUN, number: int = 1, time: float = 1) -> GenerationEvent:
    data = AcceptedData(
        run_id=run,
        run_number=number,
        model="tiny",
        tier=Tier.STANDARD,
        lane="interactive",
        prompt_sha256=SHA,
    )
    return GenerationAccepted(**ENVELOPE, time=at(time), data=data)


def started(run: UUID = RUN, number: int = 1, time: float = 2, attempt: int = 1) -> GenerationEvent:
    data = StartedData(run_id=run, run_number=number, attempt=attempt, worker="w")
    return GenerationStarted(**ENVELOPE, time=at(time), data=data)


def progress(
    percent: int, run: UUID = RUN, number: int = 1, stage: Stage = Stage.DENOISING, attempt: int = 1
) -> GenerationEvent:
    data = ProgressData(
        run_id=run, run_number=number, attempt=attempt, stage=stage, percent=percent
    )
    return GenerationProgress(**ENVELOPE, time=at(3), data=data)


def picture(image: int) -> Picture:
    return Picture(
        image_id=UUID(int=image),
        relative_path=f"generated/{image}.png",
        sha256=SHA,
        width=8,
        height=8,
        bytes=9,
        seed=7,
    )


def completed(
    run: UUID = RUN, number: int = 1, time: float = 9, image: int = 10, flow: UUID | None = None
) -> GenerationEvent:
    data = CompletedData(
        run_id=run,
        run_number=number,
        flow_id=flow,
        attempt=1,
        tier=Tier.STANDARD,
        model="tiny",
        model_sha256=SHA,
        images=(picture(image),),
        queue_seconds=0.5,
        generation_seconds=1.5,
        gpu_seconds=1.0,
        cost=0.0,
        device="cpu",
        prompt_sha256=SHA,
    )
    return GenerationCompleted(**ENVELOPE, time=at(time), data=data)


def failed(run: UUID = RUN, number: int = 1, time: float = 9) -> GenerationEvent:
    data = FailedData(run_id=run, run_number=number, attempt=4, reason="poison", message="no luck")
    return GenerationFailed(**ENVELOPE, time=at(time), data=data)


def cancelled(run: UUID = RUN, number: int = 1, time: float = 9) -> GenerationEvent:
    data = CancelledData(run_id=run, run_number=number)
    return GenerationCancelled(**ENVELOPE, time=at(time), data=data)


def state_of(*events: GenerationEvent) -> JobState:
    return reduce(fold, events, JobState())


def test_a_job_becomes_what_its_events_tell() -> None:
    state = state_of(accepted(), started(), progress(40), completed())

    run = state.runs[RUN]
    assert state.run == RUN
    assert state.status is run.status is Status.SUCCEEDED
    assert (run.accepted_at, run.started_at, run.ended_at) == (at(1), at(2), at(9))
    assert run.progress == Progress(stage=Stage.COMPLETED, percent=100)
    assert run.output is not None
    assert run.output.pictures == (picture(10),)


@pytest.mark.parametrize(
    ("end", "status", "code"),
    [(failed(), Status.FAILED, "poison"), (cancelled(), Status.CANCELLED, "cancelled")],
)
def test_a_run_without_pictures_says_why(end: GenerationEvent, status: Status, code: str) -> None:
    state = state_of(started(), end)

    assert state.status is status
    assert isinstance(state.runs[RUN].failure, Failure)
    failure = state.runs[RUN].failure
    assert failure is not None
    assert failure.code == code
    assert state.runs[RUN].output is None


@pytest.mark.parametrize("late", [accepted, started, lambda: progress(5)])
def test_nothing_late_takes_an_outcome_back(late: Callable[[], GenerationEvent]) -> None:
    assert state_of(completed(), late()).status is Status.SUCCEEDED


def test_the_first_end_of_a_run_wins_even_when_it_comes_last() -> None:
    state = state_of(failed(time=9), completed(time=8))

    assert state.status is Status.SUCCEEDED
    assert state.ended_at == at(8)


def test_percent_never_falls_when_a_second_attempt_starts_over() -> None:
    state = state_of(started(), progress(60), started(attempt=2), progress(10, attempt=2))

    assert state.runs[RUN].progress.percent == 60
    assert state.runs[RUN].attempt == 2


def test_a_percentage_beyond_the_scale_cannot_hide_the_end() -> None:
    state = state_of(progress(900, stage=Stage.UPLOADING), completed())

    assert state.runs[RUN].progress == Progress(stage=Stage.COMPLETED, percent=100)


def test_progress_alone_tells_that_a_run_runs_but_not_while_it_queues() -> None:
    assert state_of(progress(1)).status is Status.RUNNING
    assert state_of(progress(0, stage=Stage.QUEUED)).status is Status.PENDING


def test_a_retry_takes_the_job_over_and_leaves_the_first_run_as_it_was() -> None:
    state = state_of(failed(), accepted(RETRY, number=2), started())

    assert state.run == RETRY
    assert state.status is Status.PENDING
    assert state.ended_at is None
    assert state.runs[RUN].status is Status.FAILED


def test_a_late_event_of_an_older_run_does_not_show() -> None:
    state = state_of(completed(RETRY, number=2), failed(RUN, number=1))

    assert state.status is Status.SUCCEEDED


def test_a_refused_command_leaves_no_trace() -> None:
    error = AdmissionError(pointer="/width", code="invalid_size", detail="too wide")
    refused = GenerationRejected(**ENVELOPE, time=at(1), data=RejectedData(errors=(error,)))

    assert state_of(refused) == JobState()


def test_an_event_that_tells_nothing_new_returns_the_very_state() -> None:
    state = state_of(accepted(), started(), completed())

    assert all(fold(state, event) is state for event in (accepted(), started(), completed()))


def test_times_are_cut_to_what_the_database_keeps() -> None:
    event = accepted(time=0.123456)

    assert state_of(event).runs[RUN].accepted_at == at(0.123)


def test_the_facts_of_pictures_come_from_completed_alone() -> None:
    (image,) = images_of(completed())

    assert (image.id, image.job_id, image.run_id) == (UUID(int=10), JOB, RUN)
    assert image.source is ImageSource.GENERATED
    assert image.project == "demo"
    assert images_of(failed()) == ()


def test_only_a_picture_in_a_flow_is_activity_of_it() -> None:
    flow = UUID(int=5)
    fact = activity_of(completed(flow=flow))

    assert fact is not None
    assert (fact.flow_id, fact.activity.last_image_id) == (flow, UUID(int=10))
    assert activity_of(completed()) is None


RUNS = st.sampled_from([(RUN, 1), (RETRY, 2), (UUID(int=4), 2)])
TIMES = st.sampled_from([1.0, 2.0, 2.0005, 3.0])
EVENTS = st.one_of(
    st.builds(lambda run, time: accepted(run[0], run[1], time), RUNS, TIMES),
    st.builds(
        lambda run, time, n: started(run[0], run[1], time, n), RUNS, TIMES, st.integers(1, 3)
    ),
    st.builds(
        lambda run, percent, stage: progress(percent, run[0], run[1], stage),
        RUNS,
        st.integers(-5, 120),
        st.sampled_from(Stage),
    ),
    st.builds(
        lambda run, time, image: completed(run[0], run[1], time, image),
        RUNS,
        TIMES,
        st.integers(10, 12),
    ),
    st.builds(lambda run, time: failed(run[0], run[1], time), RUNS, TIMES),
    st.builds(lambda run, time: cancelled(run[0], run[1], time), RUNS, TIMES),
)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), events=st.lists(EVENTS, max_size=12))
def test_order_and_repetition_do_not_matter(
    data: st.DataObject, events: list[GenerationEvent]
) -> None:
    repeated = events + (data.draw(st.lists(st.sampled_from(events))) if events else [])
    shuffled = data.draw(st.permutations(repeated))

    assert state_of(*shuffled) == state_of(*events)


@settings(max_examples=200, deadline=None)
@given(events=st.lists(EVENTS, max_size=12))
def test_no_event_ever_takes_rank_percent_or_attempt_back(events: list[GenerationEvent]) -> None:
    state = JobState()
    for event in events:
        later = fold(state, event)
        for run, before in state.runs.items():
            after = later.runs[run]
            assert after.status.rank >= before.status.rank
            assert after.progress.percent >= before.progress.percent
            assert after.attempt >= before.attempt
        state = later


@settings(max_examples=100, deadline=None)
@given(events=st.lists(EVENTS, max_size=8))
def test_a_state_survives_being_stored(events: list[GenerationEvent]) -> None:
    state = state_of(*events)

    assert JobState.model_validate_json(state.model_dump_json(exclude_none=True)) == state
