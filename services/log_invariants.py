"""A partition's events in their order -> what the design promises of them and they don't keep.

Pure. A repeat (the same id again) is none: whoever publishes may die before it hears of it.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from uuid import UUID

from schemas.cloudevents import TYPE_PREFIX, event_id
from schemas.common import Value
from schemas.events import (
    GenerationAccepted,
    GenerationEvent,
    GenerationProgress,
    GenerationRejected,
    GenerationStarted,
    TerminalEvent,
)
from services.event_log import LogRecord
from services.records import Record, Unreadable, read


class Rule(StrEnum):
    READABLE = "readable"
    KEY = "key"  #: a job's id is the key of its records: they are in one partition
    PROJECT = "project"  #: a job is of one project
    ID = "id"  #: derived from run, type and attempt
    ONE_OUTCOME = "one_outcome"  #: a run has one terminal event, the same bytes each time
    NOTHING_AFTER = "nothing_after"  #: what is new after it is progress alone
    ORDER = "order"  #: accepted before started, a run after the end of the one before


class Violation(Value):
    rule: Rule
    topic: str
    partition: int
    offset: int
    job: UUID | None = None
    run: UUID | None = None
    said: str


@dataclass(slots=True)
class _Run:
    number: int
    accepted: bool = False
    attempts: set[int] = field(default_factory=set)  #: that said `started`
    outcome: bytes | None = None  #: of the terminal event's bytes


@dataclass(slots=True)
class _Job:
    project: str
    runs: dict[UUID, _Run] = field(default_factory=dict)


class Invariants:
    """Remembers the jobs of a partition: a few hundred bytes each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()  #: events by type
        self.jobs = 0
        self.runs = 0
        self.ended = 0  #: runs
        self.repeats = 0
        self._jobs: dict[UUID, _Job] = {}

    def forget(self) -> None:
        """A new partition begins: no job is in two."""
        self._jobs.clear()

    def hear(self, record: LogRecord) -> list[Violation]:
        told = read(Record("", 0, record.value))
        if isinstance(told, Unreadable):
            self.counts["unreadable"] += 1
            return [_violation(record, Rule.READABLE, told.reason)]
        event = told.event
        self.counts[event.type.removeprefix(TYPE_PREFIX)] += 1
        broken = [_violation(record, *each, event) for each in _alone(record, event)]
        if isinstance(event, GenerationRejected | GenerationProgress):
            return broken
        if told.job not in self._jobs:
            self.jobs += 1
            self._jobs[told.job] = _Job(event.projectid)
        job = self._jobs[told.job]
        together = self._together(job, event, record.value)
        return broken + [_violation(record, *each, event) for each in together]

    def _together(self, job: _Job, event: GenerationEvent, value: bytes) -> list[tuple[Rule, str]]:
        assert not isinstance(event, GenerationRejected | GenerationProgress)
        broken: list[tuple[Rule, str]] = []
        if event.projectid != job.project:
            broken.append((Rule.PROJECT, f"another one's job: {job.project}"))
        if (run := job.runs.get(event.data.run_id)) is None:
            broken += _begins(job, event.data.run_number)
            run = job.runs[event.data.run_id] = _Run(event.data.run_number)
            self.runs += 1
        if isinstance(event, TerminalEvent):
            return broken + self._ends(run, value)
        if _heard(run, event):
            self.repeats += 1
        elif run.outcome is not None:
            broken.append((Rule.NOTHING_AFTER, "its run had ended"))
        elif isinstance(event, GenerationStarted):
            broken += _starts(run, event.data.attempt)
        if isinstance(event, GenerationStarted):
            run.attempts.add(event.data.attempt)
        else:
            run.accepted = True
        return broken

    def _ends(self, run: _Run, value: bytes) -> list[tuple[Rule, str]]:
        digest = blake2b(value, digest_size=16).digest()
        if run.outcome is None:
            self.ended += 1
            run.outcome = digest
            return [] if run.accepted else [(Rule.ORDER, "its run was never accepted")]
        if run.outcome == digest:
            self.repeats += 1
            return []
        return [(Rule.ONE_OUTCOME, "its run had another outcome")]


def _alone(record: LogRecord, event: GenerationEvent) -> list[tuple[Rule, str]]:
    """What one event shows by itself."""
    broken = []
    if record.key != (event.subject or "").encode():
        broken.append((Rule.KEY, "the record's key is not the job's id"))
    if event.id != (wanted := _derived(event)):
        broken.append((Rule.ID, f"the id is not {wanted}"))
    return broken


def _derived(event: GenerationEvent) -> str:
    match event:
        case GenerationRejected():
            return event_id(UUID(event.subject), event.type)
        case GenerationStarted(data=data):
            return event_id(data.run_id, event.type, data.attempt)
        case GenerationProgress(data=data):
            return f"{event_id(data.run_id, event.type, data.attempt)}:{data.stage}:{data.step}"
        case _:
            return event_id(event.data.run_id, event.type)


def _begins(job: _Job, number: int) -> list[tuple[Rule, str]]:
    if any(run.number >= number for run in job.runs.values()):
        return [(Rule.ORDER, f"run {number} comes after a later one")]
    if any(run.outcome is None for run in job.runs.values()):
        return [(Rule.ORDER, f"run {number} begins before the one before has ended")]
    return []


def _heard(run: _Run, event: GenerationAccepted | GenerationStarted) -> bool:
    if isinstance(event, GenerationStarted):
        return event.data.attempt in run.attempts
    return run.accepted


def _starts(run: _Run, attempt: int) -> list[tuple[Rule, str]]:
    if not run.accepted:
        return [(Rule.ORDER, "its run starts before it was accepted")]
    if any(later > attempt for later in run.attempts):
        return [(Rule.ORDER, f"attempt {attempt} starts after a later one")]
    return []


def _violation(
    record: LogRecord, rule: Rule, said: str, event: GenerationEvent | None = None
) -> Violation:
    known = {}
    if event is not None:
        known["job"] = UUID(event.subject)
        if not isinstance(event, GenerationRejected):
            known["run"] = event.data.run_id
    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    return Violation.model_validate({"rule": rule, "said": said, **place, **known})
