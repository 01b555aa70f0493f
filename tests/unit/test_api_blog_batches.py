"""Batches of the blog dialect over HTTP, with fakes behind the API."""

from collections.abc import Callable, Iterator
from itertools import product
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from schemas.jobs import Job, Lane, Status, Tier
from schemas.wire.blog_batches import batch_polled
from tests.unit.api_fakes import (
    KEY,
    LIMITED_KEY,
    OTHER_KEY,
    READ_KEY,
    Parts,
    ended,
    make_job,
    running,
    with_run,
)

SUBMIT = "/api/v1/images/batch-generate"
JOBS = "/api/v1/images/jobs"
BATCHES = "/api/v1/images/batches"
TWO = {"images": [{"prompt": "a red circle"}, {"prompt": "a blue square", "quality": "ultra"}]}
DRAFTS = TWO | {"workflow": "draft_then_final"}


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def client(parts: Parts) -> Iterator[TestClient]:
    with parts.client() as client:
        client.headers["x-api-key"] = KEY
        yield client


def test_a_batch_answers_202_with_its_jobs_and_where_to_poll(
    parts: Parts, client: TestClient
) -> None:
    response = client.post(SUBMIT, json=TWO)

    assert response.status_code == 202
    body = response.json()
    assert set(body) == {
        "batch_id",
        "job_ids",
        "status",
        "total_images",
        "estimated_completion_time",
    }
    assert (body["status"], body["total_images"]) == ("pending", 2)
    assert body["estimated_completion_time"] == 25.0, "when its last picture is expected"
    assert response.headers["location"] == f"{BATCHES}/{body['batch_id']}"
    assert [str(wish.job_id) for wish in parts.jobs.wishes] == body["job_ids"]
    assert [wish.spec.tier for wish in parts.jobs.wishes] == [Tier.STANDARD, Tier.ULTRA]


def test_every_job_of_a_batch_polls_at_once(client: TestClient) -> None:
    body = client.post(SUBMIT, json=DRAFTS).json()

    drafts = [client.get(f"{JOBS}/{job}").json() for job in body["job_ids"]]
    finals = [client.get(f"{JOBS}/{draft['final_job_id']}").json() for draft in drafts]

    assert {shown["status"] for shown in (*drafts, *finals)} == {"queued"}
    assert {shown["batch_id"] for shown in (*drafts, *finals)} == {body["batch_id"]}
    assert [shown["is_draft"] for shown in (*drafts, *finals)] == [True, True, False, False]
    assert not [shown for shown in finals if "final_job_id" in shown]


def test_each_draft_is_followed_by_a_final_of_its_seed_and_size(
    parts: Parts, client: TestClient
) -> None:
    images = [{"prompt": "a", "seed": 9}, {"prompt": "b", "aspect_ratio": "16:9", "num_images": 2}]

    client.post(SUBMIT, json={"images": images, "workflow": "draft_then_final"})

    drafts, finals = parts.jobs.wishes[:2], parts.jobs.wishes[2:]
    for draft, final in zip(drafts, finals, strict=True):
        assert (draft.spec.tier, draft.is_draft) == (Tier.DRAFT, True)
        assert (final.spec.tier, final.is_draft) == (Tier.HIGH, False)
        assert final.after == (draft.job_id,)
        assert (draft.final_job_id, final.spec.draft_job_id) == (final.job_id, draft.job_id)
        kept = {"tier": final.spec.tier, "draft_job_id": draft.job_id}
        assert final.spec == draft.spec.model_copy(update=kept), "seed and all"
    assert drafts[0].spec.seed == 9
    assert drafts[1].spec.seed is not None, "drawn once, for both"
    assert {draft.lane for draft in drafts} == {Lane.STANDARD}
    assert {final.lane for final in finals} == {Lane.BATCH}


def test_final_only_makes_every_image_at_high(parts: Parts, client: TestClient) -> None:
    client.post(SUBMIT, json=TWO | {"workflow": "final_only"})

    assert [wish.spec.tier for wish in parts.jobs.wishes] == [Tier.HIGH, Tier.HIGH]


def test_a_batch_s_blog_is_that_of_images_without_their_own(
    parts: Parts, client: TestClient
) -> None:
    images = [{"prompt": "a"}, {"prompt": "b", "blog_id": "other", "blog_job_id": "own"}]

    client.post(SUBMIT, json={"images": images, "blog_id": "blog", "blog_job_id": "job"})

    found = [(wish.blog_id, wish.blog_job_id) for wish in parts.jobs.wishes]
    assert found == [("blog", "job"), ("other", "own")]


@pytest.mark.parametrize(
    ("image", "place"),
    [
        ({"prompt": ""}, "images/1/prompt"),
        ({"prompt": "  "}, "images/1"),
        ({"prompt": "x", "quality": "best"}, "images/1/quality"),
        ({"prompt": "x", "aspect_ratio": "5:1"}, "images/1/aspect_ratio"),
        ({"prompt": "x", "width": 2048, "height": 2048}, "images/1/width"),
        ({"prompt": "x", "width": 512}, "images/1"),
        ({"prompt": "x", "seed": -1}, "images/1/seed"),
        ({"prompt": "x" * 3_999, "style": "oil"}, "images/1"),
        (7, "images/1"),
    ],
)
def test_one_bad_image_refuses_all_and_is_named(
    parts: Parts, client: TestClient, image: object, place: str
) -> None:
    response = client.post(SUBMIT, json={"images": [{"prompt": "x"}, image]})

    assert response.status_code == 422
    assert response.json()["detail"].startswith(f"{place}: ")
    assert not parts.jobs.stored


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"images": []},
        {"images": None},
        {"images": {"prompt": "x"}},
        {"images": [{"prompt": "x"}] * 101},
        TWO | {"workflow": "both"},
        TWO | {"blog_id": 7},
    ],
    ids=lambda body: str(body)[:40],
)
def test_what_is_no_batch_is_refused(
    parts: Parts, client: TestClient, body: dict[str, object]
) -> None:
    response = client.post(SUBMIT, json=body)

    assert response.status_code == 422
    assert set(response.json()) == {"detail"}
    assert not parts.jobs.stored


def test_a_hundred_images_with_drafts_are_one_submit(parts: Parts, client: TestClient) -> None:
    body = {"images": [{"prompt": "x"}] * 100, "workflow": "draft_then_final"}

    response = client.post(SUBMIT, json=body)

    assert response.status_code == 202
    assert (len(response.json()["job_ids"]), len(parts.jobs.stored)) == (100, 200)


def test_a_batch_counts_once_against_a_limit(client: TestClient) -> None:
    client.headers["x-api-key"] = LIMITED_KEY

    answers = [client.post(SUBMIT, json=TWO) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert "r=1;" in answers[0].headers["ratelimit"]


def test_the_same_idempotency_key_gives_the_same_batch(parts: Parts, client: TestClient) -> None:
    headers = {"idempotency-key": "one"}

    first = client.post(SUBMIT, json=DRAFTS, headers=headers)
    again = client.post(SUBMIT, json=DRAFTS, headers=headers)
    other = client.post(SUBMIT, json=TWO, headers=headers)

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert other.status_code == 422
    assert len(parts.jobs.stored) == 4


def test_prefer_wait_holds_a_batch_until_all_have_ended(parts: Parts, client: TestClient) -> None:
    parts.jobs.on_read = parts.jobs.end_all

    response = client.post(SUBMIT, json=DRAFTS, headers={"prefer": "wait=30"})

    assert response.status_code == 200
    body = response.json()
    assert (body["status"], body["completed"], body["total_images"]) == ("completed", 2, 2)
    assert [job["status"] for job in body["jobs"]] == ["completed"] * 4
    assert [job["job_id"] for job in body["jobs"][:2]] == body["job_ids"]


def test_prefer_wait_that_runs_out_gives_the_normal_answer(client: TestClient) -> None:
    response = client.post(SUBMIT, json=TWO, headers={"prefer": "wait=1"})

    assert (response.status_code, response.json()["status"]) == (202, "pending")


def test_a_poll_says_to_come_back_until_all_have_ended(parts: Parts, client: TestClient) -> None:
    location = client.post(SUBMIT, json=TWO).headers["location"]

    before = client.get(location)
    parts.jobs.end_all(Status.FAILED)
    after = client.get(location)

    assert before.headers["retry-after"] == "1"
    assert "retry-after" not in after.headers
    assert (after.json()["status"], after.json()["failed"]) == ("failed", 2)


@pytest.mark.parametrize("batch", [uuid4(), "nonsense", ""])
def test_what_is_no_batch_is_not_found_in_shape(client: TestClient, batch: object) -> None:
    response = client.get(f"{BATCHES}/{batch}")

    assert response.status_code == 404
    assert set(response.json()) == {"detail"}


def test_a_batch_of_another_project_does_not_exist(client: TestClient) -> None:
    location = client.post(SUBMIT, json=TWO).headers["location"]

    response = client.get(location, headers={"x-api-key": OTHER_KEY})

    assert response.status_code == 404
    assert response.json() == {"detail": "Batch not found"}


def test_a_key_that_may_only_read_polls_a_batch_but_submits_none(
    parts: Parts, client: TestClient
) -> None:
    location = client.post(SUBMIT, json=TWO).headers["location"]
    client.headers["x-api-key"] = READ_KEY

    assert client.get(location).status_code == 200
    assert client.post(SUBMIT, json=TWO).status_code == 403


STATES: dict[str, Callable[[Job], Job]] = {
    "pending": lambda job: job,
    "running": running,
    "succeeded": ended,
    "failed": lambda job: ended(job, Status.FAILED),
    "cancelled": lambda job: ended(job, Status.CANCELLED),
    "cancelled unbegun": lambda job: _unbegun(ended(job, Status.CANCELLED)),
}
OVER = {"succeeded", "failed", "cancelled", "cancelled unbegun"}


@pytest.mark.parametrize(("one", "other"), list(product(STATES, STATES)))
def test_a_batch_s_word_follows_from_the_states_of_its_jobs(one: str, other: str) -> None:
    batch = uuid4()
    jobs = [STATES[state](make_job(batch_id=batch)) for state in (one, other)]

    shown = batch_polled(jobs, "https://host")

    states = {one, other}
    if states <= OVER:
        expected = "completed" if "succeeded" in states else "failed"
    else:
        expected = "pending" if states <= {"pending", "cancelled unbegun"} else "processing"
    assert shown.status == expected
    assert shown.completed == [one, other].count("succeeded")
    assert shown.completed + shown.failed == sum(state in OVER for state in (one, other))


def test_an_image_whose_final_was_cancelled_is_not_completed() -> None:
    batch = uuid4()
    final = make_job(batch_id=batch)
    draft = make_job(batch_id=batch, is_draft=True, final_job_id=final.id)
    spec = final.spec.model_copy(update={"draft_job_id": draft.id})
    final = ended(final.model_copy(update={"spec": spec}), Status.CANCELLED)

    shown = batch_polled([ended(draft), final], "https://host")

    assert (shown.total_images, shown.completed, shown.failed) == (1, 0, 1)
    assert shown.status == "failed"


def _unbegun(job: Job) -> Job:
    return with_run(job, job.current.model_copy(update={"started_at": None}))
