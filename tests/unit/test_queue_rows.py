"""A row in, the events of its run out: recognisable when repeated, and without the prompt."""

from datetime import timedelta
from uuid import uuid4, uuid5

import bson
from bson.codec_options import CodecOptions

from schemas.cloudevents import CloudEvent
from schemas.common import now
from schemas.jobs import GenerationSpec, Lane, LoraWeight, Progress, Reference, Stage
from schemas.queue import QueueRow, RowState
from services import run_events
from services.queue import Lease
from services.queue_rows import row_document

PROMPT = "a very private prompt"
CODEC: CodecOptions[dict[str, object]] = CodecOptions(tz_aware=True, uuid_representation=4)


def make_row() -> QueueRow:
    return QueueRow(
        id=uuid4(),
        job=uuid4(),
        run_number=2,
        project="demo",
        flow_id=uuid4(),
        lane=1,
        after=(uuid4(),),
        state=RowState.WAITING,
        attempt=3,
        owner="nonce",
        uploads=("generated/x.png",),
        traceparent="00-1-2-01",
        spec=GenerationSpec(
            prompt=PROMPT,
            negative_prompt=PROMPT,
            loras=(LoraWeight(id="ink", weight=0.5),),
            references=(Reference(job_id=uuid4(), alias=PROMPT),),
        ),
    )


def events_of(row: QueueRow) -> list[CloudEvent]:
    return [
        run_events.accepted(row, "order 17"),
        run_events.started(row, "host:1"),
        run_events.progressed(row, Progress(stage=Stage.DENOISING, step=1, steps=2, percent=50)),
        run_events.failed(row, "poison", "why"),
        run_events.cancelled(row, "why"),
    ]


def test_a_row_survives_the_way_through_bson() -> None:
    row = make_row()

    stored = bson.decode(bson.encode(row_document(row), codec_options=CODEC), CODEC)

    assert QueueRow.model_validate(stored) == row


def test_an_event_that_is_made_again_has_the_same_id() -> None:
    row = make_row()

    ids = [event.id for event in events_of(row)]

    assert ids == [event.id for event in events_of(row)]
    assert len(set(ids)) == len(ids)


def test_a_run_has_one_terminal_event_of_a_kind_whatever_the_attempt() -> None:
    row = make_row()
    later = row.model_copy(update={"attempt": row.attempt + 1})

    assert run_events.failed(row, "a", "b").id == run_events.failed(later, "c", "d").id
    assert run_events.failed(row, "a", "b").id == str(
        uuid5(row.id, "dev.darkroom.generation.failed.v1")
    )
    assert run_events.started(row, "w").id != run_events.started(later, "w").id


def test_every_event_says_whose_it_is() -> None:
    row = make_row()

    for event in events_of(row):
        assert (event.subject, event.projectid) == (str(row.job), "demo")
        assert event.traceparent == row.traceparent
        data = event.model_dump()["data"]
        assert (data["run_id"], data["run_number"]) == (row.id, 2)
        assert data["flow_id"] == row.flow_id


def test_no_event_of_a_run_holds_its_prompt() -> None:
    assert not [event for event in events_of(make_row()) if PROMPT.encode() in event.encode()]


def test_lanes_have_the_numbers_that_the_queue_sorts_by() -> None:
    assert run_events.LANES == (Lane.INTERACTIVE, Lane.STANDARD, Lane.BATCH)
    assert run_events.accepted(make_row(), None).data.lane == "standard"


def test_a_lease_is_known_by_run_owner_and_attempt() -> None:
    row = make_row()

    assert Lease(row=row).mine == {"_id": row.id, "owner": "nonce", "attempt": 3}


def test_a_row_is_due_when_it_comes() -> None:
    assert now() - make_row().due < timedelta(seconds=5)
