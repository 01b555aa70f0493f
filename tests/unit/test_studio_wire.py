"""Studio's bodies and replies, without HTTP: spellings, words, nulls."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from schemas.images import Image
from schemas.jobs import FirstAsked, Job, Run, Status
from schemas.wire import studio_generations as wire
from schemas.wire.studio import Page, PageQuery
from services.library.related import Related
from tests.unit.api_fakes import MOMENT, ended, make_job, output, running, with_run

ORIGIN = "https://studio.example"
IMAGE_ID = output().pictures[0].image_id
URL = f"{ORIGIN}/static/uploads/{output().pictures[0].relative_path}"


def studio_job(**fields: object) -> Job:
    return make_job(dialect="studio", **fields)


def image(**fields: Any) -> Image:
    facts = {"_id": IMAGE_ID, "project": "demo", "source": "generated"}
    return Image.model_validate({**facts, "picture": output().pictures[0], **fields})


def shown(job: Job, *, images: tuple[Image, ...] = (), **around: Any) -> dict[str, Any]:
    related = Related(images={each.id: each for each in images}, **around)
    return wire.generation(job, related, ORIGIN).model_dump(mode="json", by_alias=True)


def test_a_pending_generation_has_every_field_and_null_for_what_is_not_known() -> None:
    job = studio_job(aspect_ratio="16:9", alias="@hero", spec={"prompt": "a fox", "enhance": True})

    assert shown(job) == {
        "id": str(job.id),
        "status": "pending",
        "prompt": "a fox",
        "enhancedPrompt": None,
        "aspectRatio": "16:9",
        "referenceImages": [],
        "flowId": None,
        "outputImage": None,
        "outputImageId": None,
        "alias": "@hero",
        "flowAlias": None,
        "autoEnhance": True,
        "seed": None,
        "model": "default",
        "error": None,
        "retryCount": 0,
        "processingTimeMs": None,
        "meta": {},
        "createdAt": "2026-11-21T05:20:00Z",
        "startedAt": None,
        "completedAt": None,
        "deletedAt": None,
    }


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (Status.PENDING, "pending"),
        (Status.RUNNING, "processing"),
        (Status.SUCCEEDED, "success"),
        (Status.FAILED, "failed"),
        (Status.CANCELLED, "failed"),
    ],
)
def test_every_core_state_has_a_word(status: Status, word: str) -> None:
    job = with_run(studio_job(), Run(number=1, status=status))

    assert shown(job)["status"] == word


def test_poison_is_a_failure_with_its_message() -> None:
    failure = {"code": "poison", "message": "the run ended its worker 4 times"}
    run = Run.model_validate({"number": 1, "status": "failed", "failure": failure})

    reply = shown(with_run(studio_job(), run))

    assert (reply["status"], reply["error"]) == ("failed", failure["message"])


def test_the_message_of_a_cancelled_one_says_so() -> None:
    assert "cancelled" in shown(ended(studio_job(), Status.CANCELLED))["error"]


def test_a_success_shows_its_picture_with_its_alias_and_how_long_it_took() -> None:
    job = ended(studio_job())
    (run,) = job.state.runs.values()
    run = run.model_copy(update={"ended_at": MOMENT + timedelta(seconds=1.5)})

    reply = shown(with_run(job, run), images=(image(),), aliases={IMAGE_ID: "@hero"})

    assert reply["outputImage"] == {
        "id": str(IMAGE_ID),
        "url": URL,
        "storageUrl": URL,
        "alias": "@hero",
        "width": 512,
        "height": 288,
    }
    assert reply["outputImageId"] == str(IMAGE_ID)
    assert reply["processingTimeMs"] == 1500


def test_a_picture_that_was_purged_is_shown_no_more() -> None:
    assert shown(ended(studio_job()))["outputImage"] is None


def test_a_retry_is_pending_and_shows_the_last_good_picture() -> None:
    again = ended(studio_job()).model_copy(update={"run": uuid4(), "run_number": 2})

    reply = shown(again, images=(image(),))

    assert (reply["status"], reply["retryCount"]) == ("pending", 1)
    assert reply["outputImageId"] == str(IMAGE_ID)
    assert (reply["startedAt"], reply["completedAt"], reply["error"]) == (None, None, None)


def test_references_tell_their_picture_once_it_is_there() -> None:
    pending, made, given = uuid4(), uuid4(), uuid4()
    references = [
        {"image_id": given},
        {"job_id": made, "alias": "@made"},
        {"job_id": pending, "alias": "@soon"},
    ]
    job = studio_job(spec={"prompt": "a fox", "references": references})
    there = (image(), image(_id=given))

    reply = shown(job, images=there, made={made: IMAGE_ID})

    assert reply["referenceImages"] == [
        {"id": str(given), "alias": None, "url": URL},
        {"id": str(IMAGE_ID), "alias": "@made", "url": URL},
        {"id": None, "alias": "@soon", "url": None},
    ]


def test_what_was_asked_for_in_pixels_has_their_ratio() -> None:
    job = studio_job(spec={"prompt": "a fox", "width": 768, "height": 512})

    assert shown(job)["aspectRatio"] == "3:2"


def test_the_first_answer_is_the_same_however_far_the_job_is() -> None:
    job = studio_job()
    first = FirstAsked(spec=job.spec, aspect_ratio=job.aspect_ratio)
    other = job.spec.model_copy(update={"prompt": "another fox", "seed": 8})
    changed = {"spec": other, "aspect_ratio": "2:1", "first": first, "deleted_at": MOMENT}
    retried = ended(job).model_copy(update={"run": uuid4(), "run_number": 3, **changed})
    enhanced = ended(job).model_copy(update={"enhanced": {job.run: "a red fox in the snow"}})

    for later in (running(job), ended(job), retried, enhanced):
        assert shown(wire.first_asked(later)) == shown(job)


def test_a_retry_is_answered_the_same_however_far_it_is() -> None:
    job = ended(studio_job())
    asked = job.model_copy(update={"run": uuid4(), "run_number": 2})
    runs = {**job.state.runs, asked.run: Run(number=2, status=Status.RUNNING)}
    later = asked.model_copy(update={"state": job.state.model_copy(update={"runs": runs})})

    assert shown(later)["status"] == "processing"
    assert shown(wire.asked_again(later)) == shown(asked)


@pytest.mark.parametrize(
    ("body", "project", "flow"),
    [
        ({"alias": "@a", "flowAlias": "@b"}, "@a", "@b"),
        ({"assignAlias": "@a", "assignFlowAlias": "@b"}, "@a", "@b"),
        ({"alias": "", "assignAlias": "@a"}, "", None),
        ({"alias": None, "assignAlias": "@a"}, "@a", None),
        ({}, None, None),
    ],
)
def test_both_spellings_of_an_alias_are_read(
    body: dict[str, Any], project: str | None, flow: str | None
) -> None:
    read = wire.SubmitBody.model_validate(body)

    assert (read.project_alias, read.alias_in_flow) == (project, flow)


@pytest.mark.parametrize("limit", ["0", "101", "x", "-1", "1.5", ""])
def test_a_page_has_1_to_100(limit: str) -> None:
    with pytest.raises(ValidationError):
        PageQuery.model_validate({"limit": limit})


def test_a_page_says_whether_there_is_more() -> None:
    asked = PageQuery(limit=2, offset=2)

    assert Page.of((1, 2), 5, asked).pagination.has_more
    assert not Page.of((1, 2), 4, asked).pagination.has_more
    assert PageQuery().limit == 20


def test_a_status_word_stands_for_every_core_state_behind_it() -> None:
    found = wire.GenerationQuery(status="failed").statuses

    assert found == (Status.FAILED, Status.CANCELLED)
    assert wire.GenerationQuery().statuses is None
