"""The floor of the projection writes what the fold would."""

from typing import Any, cast

from benchmarks.history import EVENTS, new_jobs, records
from benchmarks.projection import operations
from schemas.jobs import Status
from services.records import Told, read


def test_a_history_is_readable_and_each_job_is_told_of_in_order() -> None:
    jobs = new_jobs(45, "demo")
    told = [read(record) for record in records(jobs)]

    kinds: dict[object, list[str]] = {}
    for item in told:
        assert isinstance(item, Told)
        kinds.setdefault(item.job, []).append(item.event.type.split(".")[-2])

    assert len(told) == 45 * EVENTS
    assert all(seen == ["accepted", "started", "completed"] for seen in kinds.values())


def test_the_floor_writes_one_state_an_event_and_every_picture() -> None:
    jobs = new_jobs(2, "demo")
    made = operations(records(jobs), {})

    assert len(made.states) == 2 * EVENTS
    assert len(made.images) == 2
    last = cast(dict[str, Any], made.states[-1]._doc)["$set"]["state"]
    assert last["status"] is Status.SUCCEEDED
    assert list(last["runs"]) == [str(jobs[-1].run)]
