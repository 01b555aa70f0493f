"""A queue row in, the events of its run out; ids are deterministic, so repeats are recognised."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, TypeVar

from schemas.cloudevents import CloudEvent, event_id, schema_path
from schemas.events import (
    AcceptedData,
    CancelledData,
    CompletedData,
    FailedData,
    GenerationAccepted,
    GenerationCancelled,
    GenerationCompleted,
    GenerationFailed,
    GenerationProgress,
    GenerationStarted,
    ProgressData,
    RunData,
    StartedData,
)
from schemas.images import Picture
from schemas.jobs import GenerationSpec, Lane, Progress
from schemas.queue import QueueRow

E = TypeVar("E", bound=CloudEvent)

SOURCE: Final = "/workers/generator"
MESSAGE_LIMIT: Final = 2_000  #: characters of a failure: its event must fit in Kafka
LANES: Final = tuple(Lane)


def accepted(row: QueueRow, clientref: str | None) -> GenerationAccepted:
    spec = row.wanted
    data = AcceptedData(
        **_run(row),
        model=spec.model,
        tier=spec.tier,
        lane=LANES[row.lane],
        clientref=clientref,
        prompt_sha256=_prompt_sha256(spec),
    )
    return _event(GenerationAccepted, row, data=data)


def started(row: QueueRow, worker: str) -> GenerationStarted:
    data = StartedData(**_run(row), attempt=row.attempt, worker=worker)
    return _event(GenerationStarted, row, data=data, attempt=row.attempt)


def progressed(row: QueueRow, progress: Progress) -> GenerationProgress:
    data = ProgressData(**_run(row), attempt=row.attempt, **dict(progress))
    name = f"{progress.stage}:{progress.step}"
    event = _event(GenerationProgress, row, data=data, attempt=row.attempt)
    return event.model_copy(update={"id": f"{event.id}:{name}"})


def completed(row: QueueRow, pictures: Sequence[Picture], **measured: Any) -> GenerationCompleted:  # noqa: ANN401
    """`measured`: the rest of `CompletedData`, which its worker knows."""
    spec = row.wanted
    data = CompletedData(
        **_run(row),
        attempt=row.attempt,
        tier=spec.tier,
        images=tuple(pictures),
        prompt_sha256=_prompt_sha256(spec),
        preset=spec.preset,
        **measured,
    )
    return _event(GenerationCompleted, row, data=data)


def failed(row: QueueRow, reason: str, message: str) -> GenerationFailed:
    told = message[:MESSAGE_LIMIT]
    data = FailedData(**_run(row), attempt=row.attempt, reason=reason, message=told)
    return _event(GenerationFailed, row, data=data)


def cancelled(row: QueueRow, reason: str) -> GenerationCancelled:
    data = CancelledData(**_run(row), attempt=row.attempt, reason=reason)
    return _event(GenerationCancelled, row, data=data)


def _event(kind: type[E], row: QueueRow, *, data: RunData, attempt: int | None = None) -> E:
    name = kind.model_fields["type"].default
    return kind(
        id=event_id(row.id, name, attempt),
        type=name,
        source=SOURCE,
        subject=str(row.job),
        dataschema=schema_path(name),
        projectid=row.project,
        traceparent=row.traceparent,
        data=data,
    )


def _run(row: QueueRow) -> dict[str, Any]:
    return {"run_id": row.id, "run_number": row.run_number, "flow_id": row.flow_id}


def _prompt_sha256(spec: GenerationSpec) -> str:
    return sha256(spec.prompt.encode()).hexdigest()
