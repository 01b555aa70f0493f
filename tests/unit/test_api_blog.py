"""The blog dialect over HTTP, with fakes behind the API."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from schemas.common import now
from schemas.jobs import Failure, Status, Tier
from schemas.wire.blog import polled
from tests.unit.api_fakes import (
    KEY,
    OTHER_KEY,
    READ_KEY,
    Parts,
    ended,
    make_job,
    running,
    with_run,
)

SUBMIT = "/api/v1/images/generate-async"
WAITING = "/api/v1/images/generate"
JOBS = "/api/v1/images/jobs"
BODY = {"prompt": "a red circle on a blue background"}


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def client(parts: Parts) -> Iterator[TestClient]:
    with parts.client() as client:
        client.headers["x-api-key"] = KEY
        yield client


def test_a_submit_answers_202_with_where_to_poll(client: TestClient) -> None:
    response = client.post(SUBMIT, json=BODY)

    assert response.status_code == 202
    body = response.json()
    assert body["status"] == "pending"
    assert body["is_draft"] is False
    assert response.headers["location"] == f"{JOBS}/{body['job_id']}"


def test_a_submit_says_when_its_pictures_are_expected(client: TestClient) -> None:
    submitted = client.post(SUBMIT, json=BODY)

    assert submitted.json()["estimated_completion_time"] == 12.5


def test_a_poll_promises_what_was_promised_less_what_has_passed() -> None:
    job = make_job().model_copy(update={"estimated_seconds": 60.0, "created_at": now()})

    shown = polled(job, "https://host")

    assert shown.estimated_time_remaining is not None
    assert 59.0 < shown.estimated_time_remaining <= 60.0


def test_nothing_is_promised_of_a_job_that_has_ended() -> None:
    job = ended(make_job()).model_copy(update={"estimated_seconds": 60.0})

    assert polled(job, "https://host").estimated_time_remaining is None


def test_a_poll_straight_after_a_submit_finds_the_job_queued(client: TestClient) -> None:
    location = client.post(SUBMIT, json=BODY).headers["location"]

    poll = client.get(location)

    assert poll.status_code == 200
    assert poll.json()["status"] == "queued"
    assert poll.json()["current_stage"] == "queued"
    assert poll.headers["retry-after"] == "1"
    assert poll.json()["created_at"] == "2026-11-21T05:20:00Z"


def test_what_is_not_known_yet_is_left_out_of_a_poll(client: TestClient) -> None:
    location = client.post(SUBMIT, json=BODY).headers["location"]

    poll = client.get(location).json()

    assert not {"result", "error_message", "started_at", "completed_at"} & set(poll)


def test_a_completed_job_shows_its_pictures_under_the_origin_that_was_asked(
    parts: Parts, client: TestClient
) -> None:
    job = ended(make_job(provider="flux"))
    parts.jobs.stored[job.id] = job

    poll = client.get(f"{JOBS}/{job.id}")

    body = poll.json()
    assert (body["status"], body["progress_percentage"]) == ("completed", 100)
    assert body["result"]["provider"] == "flux"
    assert body["result"]["images"][0]["url"].startswith("http://testserver/static/uploads/gen")
    assert body["result"]["images"][0]["seed"] == 7
    assert "retry-after" not in poll.headers


def test_a_running_job_tells_its_stage_and_percent(parts: Parts, client: TestClient) -> None:
    job = running(make_job(), percent=40)
    parts.jobs.stored[job.id] = job

    body = client.get(f"{JOBS}/{job.id}").json()

    assert body["status"] == "processing"
    assert (body["current_stage"], body["progress_percentage"]) == ("denoising", 40)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (Status.PENDING, "queued"),
        (Status.RUNNING, "processing"),
        (Status.SUCCEEDED, "completed"),
        (Status.FAILED, "failed"),
        (Status.CANCELLED, "failed"),
    ],
)
def test_every_core_state_has_its_word_in_polls_and_lists(
    parts: Parts, client: TestClient, status: Status, word: str
) -> None:
    job = make_job()
    if status is Status.RUNNING:
        job = running(job)
    elif status.terminal:
        job = ended(job, status)
    parts.jobs.stored[job.id] = job

    poll = client.get(f"{JOBS}/{job.id}").json()
    listed = client.get(JOBS, params={"status": word}).json()

    assert poll["status"] == word
    assert [each["job_id"] for each in listed["jobs"]] == [str(job.id)]


def test_a_poisoned_job_polls_as_failed_with_its_reason(parts: Parts, client: TestClient) -> None:
    failure = Failure(code="poison", message="The worker died in each of 4 attempts")
    job = ended(make_job(), Status.FAILED)
    job = with_run(job, job.current.model_copy(update={"failure": failure}))
    parts.jobs.stored[job.id] = job

    poll = client.get(f"{JOBS}/{job.id}").json()

    assert (poll["status"], poll["error_message"]) == ("failed", failure.message)


def test_a_cancelled_job_polls_as_failed_with_a_message_that_says_cancelled(
    parts: Parts, client: TestClient
) -> None:
    job = ended(make_job(), Status.CANCELLED)
    parts.jobs.stored[job.id] = job

    body = client.get(f"{JOBS}/{job.id}").json()

    assert body["status"] == "failed"
    assert "cancelled" in body["error_message"]


def test_draft_quality_becomes_the_draft_tier_and_is_draft(
    parts: Parts, client: TestClient
) -> None:
    body = client.post(SUBMIT, json=BODY | {"quality": "draft"}).json()

    assert body["is_draft"] is True
    assert parts.jobs.wishes[0].spec.tier is Tier.DRAFT


def test_an_aspect_ratio_becomes_a_size_of_the_model(parts: Parts, client: TestClient) -> None:
    client.post(SUBMIT, json=BODY | {"aspect_ratio": "16:9"})

    spec = parts.jobs.wishes[0].spec
    assert spec.width > spec.height
    assert spec.width % 8 == spec.height % 8 == 0


def test_width_and_height_are_taken_as_they_are(parts: Parts, client: TestClient) -> None:
    client.post(SUBMIT, json=BODY | {"width": 512, "height": 264})

    spec = parts.jobs.wishes[0].spec
    assert (spec.width, spec.height) == (512, 264)


def test_a_style_is_appended_to_the_prompt(parts: Parts, client: TestClient) -> None:
    client.post(SUBMIT, json=BODY | {"style": "watercolor"})

    assert parts.jobs.wishes[0].spec.prompt == f"{BODY['prompt']}, watercolor style"


@pytest.mark.parametrize("content_type", ["text/plain", "application/json; charset=utf-8", ""])
def test_every_content_type_validates_alike(client: TestClient, content_type: str) -> None:
    headers = {"content-type": content_type}

    good = client.post(SUBMIT, content=b'{"prompt": "x", "unknown": 1}', headers=headers)
    bad = client.post(SUBMIT, content=b'{"prompt": 1}', headers=headers)

    assert (good.status_code, bad.status_code) == (202, 422)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'"text"',
        b"\xff\xfe",
        b"{}",
        b'{"prompt": ""}',
        b'{"prompt": "  "}',
        b'{"prompt": null}',
        b'{"prompt": ["x"]}',
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "a\\u0000b"}',
        b'{"prompt": "x", "seed": NaN}',
        b'{"prompt": "x", "seed": 1e400}',
        b'{"prompt": "x", "seed": -1}',
        b'{"prompt": "x", "seed": 9007199254740992}',
        b'{"prompt": "x", "seed": ' + b"9" * 6000 + b"}",
        b'{"prompt": "x", "seed": "1"}',
        b'{"prompt": "x", "seed": true}',
        b'{"prompt": "x", "width": 512}',
        b'{"prompt": "x", "width": 512, "height": 513}',
        b'{"prompt": "x", "width": 2048, "height": 2048}',
        b'{"prompt": "x", "width": 248, "height": 512}',
        b'{"prompt": "x", "aspect_ratio": "5:1"}',
        b'{"prompt": "x", "aspect_ratio": "wide"}',
        b'{"prompt": "x", "aspect_ratio": 1}',
        b'{"prompt": "x", "quality": "best"}',
        b'{"prompt": "x", "num_images": 0}',
        b'{"prompt": "x", "num_images": 5}',
        b'{"prompt": "x", "num_images": 1.5}',
        b'{"prompt": "x", "blog_id": 7}',
        b'{"prompt": "x", "negative_prompt": {}}',
        b'{"prompt": "' + b"x" * 4001 + b'"}',
        b'{"prompt": "' + b"x" * 3999 + b'", "style": "oil"}',
        b'{"prompt": "x", "meta": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda body: body[:40].decode(errors="replace"),
)
def test_what_is_not_valid_is_refused_with_a_detail(
    parts: Parts, client: TestClient, body: bytes
) -> None:
    response = client.post(SUBMIT, content=body)

    assert response.status_code == 422
    assert set(response.json()) == {"detail"}
    assert isinstance(response.json()["detail"], str)
    assert not parts.jobs.stored


def test_a_refusal_repeats_nothing_of_what_was_sent(client: TestClient) -> None:
    response = client.post(SUBMIT, json={"prompt": "x", "quality": "my secret"})

    assert response.status_code == 422
    assert "secret" not in response.text


@pytest.mark.parametrize("key", [None, "", "nonsense", KEY[:-1], "dk_\x7f"])
def test_without_a_good_key_every_route_answers_401_in_shape(
    client: TestClient, key: str | None
) -> None:
    del client.headers["x-api-key"]
    headers = {} if key is None else {"x-api-key": key}

    answers = [
        client.post(SUBMIT, json=BODY, headers=headers),
        client.post(WAITING, json=BODY, headers=headers),
        client.get(JOBS, headers=headers),
        client.get(f"{JOBS}/{uuid4()}", headers=headers),
        client.delete(f"{JOBS}/{uuid4()}", headers=headers),
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert {tuple(answer.json()) for answer in answers} == {("detail",)}


def test_a_bearer_key_is_as_good_as_x_api_key(client: TestClient) -> None:
    del client.headers["x-api-key"]

    response = client.post(SUBMIT, json=BODY, headers={"authorization": f"Bearer {KEY}"})

    assert response.status_code == 202


def test_a_key_that_may_only_read_polls_but_does_not_submit(
    parts: Parts, client: TestClient
) -> None:
    job = make_job()
    parts.jobs.stored[job.id] = job
    client.headers["x-api-key"] = READ_KEY

    assert client.get(f"{JOBS}/{job.id}").status_code == 200
    assert client.post(SUBMIT, json=BODY).status_code == 403
    assert client.delete(f"{JOBS}/{job.id}").status_code == 403


def test_a_job_of_another_project_does_not_exist(client: TestClient) -> None:
    location = client.post(SUBMIT, json=BODY).headers["location"]

    poll = client.get(location, headers={"x-api-key": OTHER_KEY})
    deletion = client.delete(location, headers={"x-api-key": OTHER_KEY})

    assert (poll.status_code, deletion.status_code) == (404, 404)
    assert poll.json() == {"detail": "Job not found"}


@pytest.mark.parametrize("job_id", ["nonsense", "123", "%00", "a/b", ""])
def test_what_is_no_uuid_is_a_404_in_shape(client: TestClient, job_id: str) -> None:
    response = client.get(f"{JOBS}/{job_id}")

    assert response.status_code == 404
    assert set(response.json()) == {"detail"}


def test_the_same_idempotency_key_gives_the_same_answer(client: TestClient) -> None:
    headers = {"idempotency-key": "one"}

    first = client.post(SUBMIT, json=BODY, headers=headers)
    again = client.post(SUBMIT, json=BODY, headers=headers)

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers


def test_the_same_idempotency_key_with_another_body_is_refused(client: TestClient) -> None:
    headers = {"idempotency-key": "one"}
    client.post(SUBMIT, json=BODY, headers=headers)

    response = client.post(SUBMIT, json={"prompt": "another"}, headers=headers)

    assert response.status_code == 422


def test_an_idempotency_key_counts_per_route(parts: Parts, client: TestClient) -> None:
    headers = {"idempotency-key": "one"}
    parts.jobs.on_read = parts.jobs.end_all

    first = client.post(SUBMIT, json=BODY, headers=headers).json()["job_id"]
    other = client.post(WAITING, json=BODY, headers=headers).json()["job_id"]

    assert first != other


def test_prefer_wait_holds_a_submit_until_its_job_has_ended(
    parts: Parts, client: TestClient
) -> None:
    parts.jobs.on_read = parts.jobs.end_all

    response = client.post(SUBMIT, json=BODY, headers={"prefer": "respond-async, wait=30"})

    assert response.status_code == 200
    assert response.json()["status"] == "completed"


def test_prefer_wait_that_runs_out_gives_the_normal_answer(client: TestClient) -> None:
    response = client.post(SUBMIT, json=BODY, headers={"prefer": "wait=1"})

    assert response.status_code == 202
    assert response.json()["status"] == "pending"


def test_generate_answers_with_the_pictures(parts: Parts, client: TestClient) -> None:
    parts.jobs.on_read = parts.jobs.end_all

    response = client.post(WAITING, json=BODY)

    assert response.status_code == 200
    body = response.json()
    assert body["success"] is True
    assert len(body["images"]) == 1
    assert body["job_id"]


def test_generate_answers_202_with_the_job_when_patience_ends(client: TestClient) -> None:
    response = client.post(WAITING, json=BODY, headers={"prefer": "wait=1"})

    assert response.status_code == 202
    assert response.json()["status"] == "queued"
    assert response.headers["retry-after"] == "1"


def test_generate_answers_503_with_the_reason_when_the_job_fails(
    parts: Parts, client: TestClient
) -> None:
    parts.jobs.on_read = lambda: parts.jobs.end_all(Status.FAILED)

    response = client.post(WAITING, json=BODY)

    assert response.status_code == 503
    assert response.json() == {"detail": "out of memory"}


def test_cancelling_asks_for_the_end_and_answers_with_the_job(
    parts: Parts, client: TestClient
) -> None:
    location = client.post(SUBMIT, json=BODY).headers["location"]

    response = client.delete(location)

    assert response.status_code == 200
    assert [str(job) for job in parts.jobs.cancelled] == [response.json()["job_id"]]


def test_cancelling_a_finished_job_changes_nothing(parts: Parts, client: TestClient) -> None:
    location = client.post(SUBMIT, json=BODY).headers["location"]
    parts.jobs.end_all()

    response = client.delete(location)

    assert response.json()["status"] == "completed"
    assert not parts.jobs.cancelled


def test_a_list_counts_all_and_shows_a_page(client: TestClient) -> None:
    for blog in ("a", "a", "a", "b"):
        client.post(SUBMIT, json=BODY | {"blog_id": blog})

    page = client.get(JOBS, params={"blog_id": "a", "limit": 2, "status": "pending"}).json()

    assert page["total"] == 3
    assert [job["blog_id"] for job in page["jobs"]] == ["a", "a"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "offset=-1", "status=done", "batch_id=x"]
)
def test_a_list_refuses_a_bad_query_in_shape(client: TestClient, query: str) -> None:
    response = client.get(f"{JOBS}?{query}")

    assert response.status_code == 422
    assert set(response.json()) == {"detail"}
