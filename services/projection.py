"""Events in, the polled state out. Pure: no I/O, no clock, and no order.

What one event tells of its run is joined with what was known of it. The join is commutative,
associative and idempotent (a semilattice, as in Shapiro et al., "Conflict-free Replicated Data
Types", 2011), so neither replay nor lateness nor a second topic's pace can undo anything.
"""

from datetime import datetime
from typing import Final, assert_never
from uuid import UUID

from schemas.common import Value
from schemas.events import (
    CompletedData,
    GenerationAccepted,
    GenerationCancelled,
    GenerationCompleted,
    GenerationEvent,
    GenerationFailed,
    GenerationProgress,
    GenerationRejected,
    GenerationStarted,
    ProgressData,
)
from schemas.flows import Activity
from schemas.images import Image, ImageSource, Marks
from schemas.jobs import Failure, JobState, Output, Progress, Run, Stage, Status

UNMARKED: Final = Marks()  #: given, because pydantic copies a default deeply: 20 µs an image
DONE: Final = Progress(stage=Stage.COMPLETED, percent=100)
RANKS: Final = {status: status.rank for status in Status}
STAGES: Final = {stage: place for place, stage in enumerate(Stage)}


class FlowActivity(Value):
    """What an event tells of its flow."""

    flow_id: UUID
    project: str
    activity: Activity


def fold(state: JobState, *events: GenerationEvent) -> JobState:
    """`state` after `events`; the very same object when they tell nothing new."""
    runs = dict(state.runs)
    for event in events:
        if not isinstance(event, GenerationRejected):  # its job never came to be: it has no run
            run_id, told = event.data.run_id, _told(event)
            known = runs.get(run_id)
            runs[run_id] = told if known is None else _joined(known, told)
    if all(run is state.runs.get(run_id) for run_id, run in runs.items()):
        return state
    newest = max(runs, key=lambda key: (runs[key].number, key))
    current = runs[newest]
    shown = {"run": newest, "status": current.status, "ended_at": current.ended_at}
    return state.model_copy(update={**shown, "runs": runs})


def images_of(event: GenerationEvent) -> tuple[Image, ...]:
    """The facts of the pictures that `event` tells of."""
    if not isinstance(event, GenerationCompleted):
        return ()
    assert event.subject is not None
    return tuple(
        Image(
            id=picture.image_id,
            project=event.projectid,
            source=ImageSource.GENERATED,
            picture=picture,
            job_id=UUID(event.subject),
            run_id=event.data.run_id,
            flow_id=event.data.flow_id,
            model=event.data.model,
            created_at=milliseconds(event.time),
            marks=UNMARKED,
        )
        for picture in event.data.images
    )


def activity_of(event: GenerationEvent) -> FlowActivity | None:
    if not isinstance(event, GenerationCompleted) or event.data.flow_id is None:
        return None
    if not event.data.images:
        return None
    return FlowActivity(
        flow_id=event.data.flow_id,
        project=event.projectid,
        activity=Activity(
            last_completed_at=milliseconds(event.time),
            last_image_id=event.data.images[-1].image_id,
        ),
    )


def milliseconds(moment: datetime) -> datetime:
    """What BSON keeps of a time, so that a state in memory equals the stored one."""
    beyond = moment.microsecond % 1000
    return moment.replace(microsecond=moment.microsecond - beyond) if beyond else moment


def distance(progress: Progress) -> tuple[int, int, int, int, str]:
    """How far a run is: progress only moves on."""
    stage = STAGES[progress.stage]
    return progress.percent, stage, progress.step, progress.steps, progress.preview or ""


def _told(
    event: GenerationAccepted
    | GenerationStarted
    | GenerationCompleted
    | GenerationFailed
    | GenerationCancelled
    | GenerationProgress,
) -> Run:
    """A run as it would be if `event` were all that is known of it."""
    number, time = event.data.run_number, milliseconds(event.time)
    match event:
        case GenerationAccepted():
            return Run(number=number, accepted_at=time)
        case GenerationStarted(data=data):
            return Run(number=number, status=Status.RUNNING, attempt=data.attempt, started_at=time)
        case GenerationProgress(data=data):
            return _under_way(number, data)
        case GenerationCompleted(data=data):
            return Run(
                number=number,
                status=Status.SUCCEEDED,
                attempt=data.attempt,
                ended_at=time,
                progress=DONE,
                output=_output(data),
            )
        case GenerationFailed(data=data):
            failure = Failure(code=data.reason, message=data.message)
            return _without_pictures(number, Status.FAILED, data.attempt, time, failure)
        case GenerationCancelled(data=data):
            return _without_pictures(number, Status.CANCELLED, data.attempt, time, data.failure)
        case _:
            assert_never(event)


def _under_way(number: int, data: ProgressData) -> Run:
    return Run(
        number=number,
        status=Status.PENDING if data.stage is Stage.QUEUED else Status.RUNNING,
        attempt=data.attempt,
        progress=Progress(
            stage=data.stage,
            step=data.step,
            steps=data.steps,
            percent=min(max(data.percent, 0), 100),
            preview=data.preview,
        ),
    )


def _without_pictures(
    number: int, status: Status, attempt: int, time: datetime, failure: Failure
) -> Run:
    return Run(number=number, status=status, attempt=attempt, ended_at=time, failure=failure)


def _output(data: CompletedData) -> Output:
    return Output(
        pictures=data.images,
        model=data.model,
        model_sha256=data.model_sha256,
        references=data.references,
        preset=data.preset,
        tier=data.tier,
        generation_seconds=data.generation_seconds,
        queue_seconds=data.queue_seconds,
        gpu_seconds=data.gpu_seconds,
        cost=data.cost,
        device=data.device,
    )


def _joined(known: Run, told: Run) -> Run:
    """The least run that has both: rank, attempt and percent never fall."""
    ahead = _decisive(known, told)
    joined = {
        "number": max(known.number, told.number),
        "status": ahead.status,
        "attempt": max(known.attempt, told.attempt),
        "accepted_at": _earliest(known.accepted_at, told.accepted_at),
        "started_at": _earliest(known.started_at, told.started_at),
        "ended_at": ahead.ended_at,
        "progress": _furthest(known.progress, told.progress),
        "output": ahead.output,
        "failure": ahead.failure,
    }
    # of equals the known one was taken, so that identity tells what is new: 2 µs, not 9
    before = known.__dict__
    new = {name: value for name, value in joined.items() if value is not before[name]}
    return known.model_copy(update=new) if new else known


def _decisive(one: Run, other: Run) -> Run:
    """The one of higher rank; of two that ended the first, then by anything that is total."""
    if RANKS[one.status] != RANKS[other.status]:
        return max(one, other, key=lambda run: RANKS[run.status])
    if one.ended_at is None or other.ended_at is None:
        return one
    return min(
        one, other, key=lambda run: (run.ended_at, run.status, f"{run.output!r}{run.failure!r}")
    )


def _furthest(one: Progress, other: Progress) -> Progress:
    return one if one is other else max(one, other, key=distance)  # the first, of equals


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return min(one, other)  # the first, of equals
