"""The recipes dialect over HTTP, with fakes behind the API."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from schemas.common import PROMPT_LIMIT
from schemas.jobs import Failure, Job, Lane, Status
from schemas.wire.recipes import Depicted, Handle, Kind, batch_polled, polled
from tests.unit.api_fakes import KEY, Parts, ended, make_job, running, with_run

RECIPES = "/api/image-gen/recipes"
HERO = f"{RECIPES}/17/hero"
STEP = f"{RECIPES}/17/steps/2"
BATCH = f"{RECIPES}/17/steps/batch"
STEPS = [{"description": "Whisk the eggs."}, {"description": "Bake."}, {"description": "Serve."}]
TITLE = "Frittata al Parmigiano"


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def client(parts: Parts) -> Iterator[TestClient]:
    with parts.client() as client:
        client.headers.update(of(parts, "ada"))
        yield client


def of(parts: Parts, user: str, project: str = "demo") -> dict[str, str]:
    token = parts.tokens.issue(user, project, timedelta(minutes=1))
    return {"authorization": f"Bearer {token}"}


def submitted(client: TestClient, path: str, body: dict[str, Any]) -> str:
    """The handle that it got."""
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "pending"
    assert answer.headers["location"] == f"/api/image-gen/jobs/{answer.json()['job_id']}"
    return str(answer.json()["job_id"])


def poll(client: TestClient, handle: str) -> dict[str, Any]:
    answer = client.get(f"/api/image-gen/jobs/{handle}")
    assert answer.status_code == 200
    assert ("retry-after" in answer.headers) == (answer.json()["status"] in ("pending", "running"))
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        (HERO, {"title": TITLE}, "hero"),
        (STEP, {"step_index": 2, "description": "Bake."}, "step"),
        (STEP, {"description": "Bake."}, "step"),
        (BATCH, {"steps": STEPS}, "batch"),
        (BATCH, {"steps": STEPS[:1]}, "batch"),
    ],
)
def test_a_handle_says_what_it_is_of_and_a_poll_finds_it_at_once(
    client: TestClient, path: str, body: dict[str, Any], kind: str
) -> None:
    handle = submitted(client, path, body)

    assert handle.startswith(f"img_{kind}_")
    assert poll(client, handle) == {
        "job_id": handle,
        "status": "pending",
        "result_url": None,
        "error": None,
    }


def test_a_prompt_is_composed_of_what_was_said(parts: Parts, client: TestClient) -> None:
    submitted(client, HERO, {"title": TITLE, "description": "A baked dish.", "style": "bright"})
    submitted(client, STEP, {"description": " Bake it {slowly}. ", "style": ""})
    submitted(client, BATCH, {"title": TITLE, "style": "watercolor", "steps": STEPS[:1]})

    assert [wish.spec.prompt for wish in parts.jobs.wishes] == [
        f"{TITLE}, the finished dish, A baked dish, bright",
        "Bake it {slowly}",
        f"cooking {TITLE}, Whisk the eggs, watercolor",
    ]


def test_a_batch_is_one_submit_of_all_steps_in_their_order(
    parts: Parts, client: TestClient
) -> None:
    submitted(client, BATCH, {"steps": STEPS})

    assert [wish.meta["recipe"] for wish in parts.jobs.wishes] == [
        {"kind": "batch", "recipe_id": "17", "step_index": index} for index in (1, 2, 3)
    ]
    assert {wish.lane for wish in parts.jobs.wishes} == {Lane.BATCH}
    assert {wish.owner for wish in parts.jobs.wishes} == {"ada"}


def test_a_batch_takes_its_steps_from_the_recipe_that_is_known(
    parts: Parts, client: TestClient
) -> None:
    unknown = client.post(BATCH, json={"style": "watercolor"})

    put = client.put(f"{RECIPES}/17", json={"title": TITLE, "steps": STEPS})
    submitted(client, BATCH, {"style": "watercolor", "steps": []})

    assert (unknown.status_code, list(unknown.json())) == (404, ["error"])
    assert put.json() == {"recipe_id": "17", "title": TITLE, "steps": STEPS}
    assert parts.jobs.wishes[-1].spec.prompt == f"cooking {TITLE}, Serve, watercolor"
    assert client.post(BATCH, headers=of(parts, "ada", "other")).status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (HERO, {}),
        (HERO, {"title": " "}),
        (HERO, {"title": None}),
        (HERO, {"title": "x" * 501}),
        (HERO, {"title": TITLE, "description": "x" * PROMPT_LIMIT}),
        (HERO, {"title": TITLE, "style": 7}),
        (HERO, {"title": "a\x00b"}),
        (HERO, [TITLE]),
        (STEP, {"step_index": 2}),
        (STEP, {"step_index": 3, "description": "Bake."}),
        (STEP, {"step_index": "2", "description": "Bake."}),
        (STEP, {"step_index": 2.0, "description": "Bake."}),
        (STEP, {"step_index": True, "description": "Bake."}),
        (f"{RECIPES}/17/steps/0", {"description": "Bake."}),
        (f"{RECIPES}/17/steps/0", {"step_index": 0, "description": "Bake."}),
        (f"{RECIPES}/17/steps/{'9' * 5000}", {"description": "Bake."}),
        (BATCH, {"steps": [{"description": ""}]}),
        (BATCH, {"steps": [{}]}),
        (BATCH, {"steps": [{"description": "x"}] * 101}),
        (BATCH, {"steps": "Bake."}),
    ],
)
def test_bad_input_is_400_in_the_dialect_s_shape(client: TestClient, path: str, body: Any) -> None:
    refused = client.post(path, json=body)

    assert refused.status_code == 400, refused.text
    assert list(refused.json()) == ["error"]
    assert isinstance(refused.json()["error"], str)


@pytest.mark.parametrize("body", [{}, {"title": TITLE}, {"title": TITLE, "steps": []}])
def test_a_recipe_has_a_title_and_steps(client: TestClient, body: dict[str, Any]) -> None:
    assert client.put(f"{RECIPES}/17", json=body).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        f"{RECIPES}/a.b/hero",
        f"{RECIPES}/{'x' * 65}/hero",
        f"{RECIPES}/17/steps/two",
        f"{RECIPES}/17/steps/-1",
        f"{RECIPES}/17/steps/²",
        f"{RECIPES}//hero",
    ],
)
def test_an_id_that_is_none_is_the_id_of_nothing(client: TestClient, path: str) -> None:
    refused = client.post(path, json={"title": TITLE, "description": "Bake."})

    assert refused.status_code == 404
    assert list(refused.json()) == ["error"]


def test_another_user_s_job_is_404(parts: Parts, client: TestClient) -> None:
    path = f"/api/image-gen/jobs/{submitted(client, HERO, {'title': TITLE})}"

    for other in (of(parts, "eve"), of(parts, "ada", "other")):
        refused = client.get(path, headers=other)
        assert (refused.status_code, refused.json()) == (404, {"error": "Job not found"})
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda handle: handle.replace("hero", "step"),
        lambda handle: handle.replace("hero", "batch"),
        lambda handle: handle.removeprefix("img_hero_"),
        lambda handle: handle.upper(),
        lambda handle: handle[:-1],
        lambda handle: handle + "0",
        lambda handle: "img_hero_" + "0" * 32,
    ],
)
def test_a_handle_is_the_one_that_was_given(client: TestClient, change: Any) -> None:
    handle = submitted(client, HERO, {"title": TITLE})

    assert client.get(f"/api/image-gen/jobs/{change(handle)}").status_code == 404


def test_a_job_of_another_dialect_has_no_handle_here(parts: Parts, client: TestClient) -> None:
    job = make_job(owner="ada", meta={"recipe": {"kind": "hero", "recipe_id": "17"}})
    parts.jobs.stored[job.id] = job

    assert client.get(f"/api/image-gen/jobs/img_hero_{job.id.hex}").status_code == 404


def test_an_api_key_is_no_token_and_without_any_it_is_401(parts: Parts, client: TestClient) -> None:
    for headers in ({"authorization": f"Bearer {KEY}"}, {"authorization": "", "x-api-key": KEY}):
        refused = client.post(HERO, json={"title": TITLE}, headers=headers)
        assert refused.status_code == 401
        assert refused.json() == {"error": "The token is missing, expired or not valid."}
        assert refused.headers["www-authenticate"] == "Bearer"


def test_a_service_asks_for_its_users(parts: Parts, client: TestClient) -> None:
    service = {"authorization": f"Bearer {parts.tokens.service}"}
    ada = service | {"x-on-behalf-of": "ada", "x-on-behalf-of-project": "demo"}
    zoe = {name.encode(): value.encode() for name, value in service.items()}
    zoe[b"x-on-behalf-of"] = "Zoë".encode()

    by_ada = client.post(HERO, json={"title": TITLE}, headers=ada).headers["location"]
    by_zoe = client.post(HERO, json={"title": TITLE}, headers=zoe).headers["location"]

    assert [wish.owner for wish in parts.jobs.wishes] == ["ada", "Zoë"]
    assert client.get(by_ada).status_code == 200
    assert client.get(by_zoe, headers=service).status_code == 200
    assert client.get(by_zoe, headers=service | {"x-on-behalf-of": "ada"}).status_code == 404
    refused = client.get(by_ada, headers=ada | {"x-on-behalf-of-project": "../demo"})
    assert refused.status_code == 400


@pytest.mark.parametrize("status", [*Status, "poison"])
def test_every_core_state_has_its_word(status: Status | str) -> None:
    words = {
        Status.PENDING: "pending",
        Status.RUNNING: "running",
        Status.SUCCEEDED: "done",
        Status.FAILED: "failed",
        Status.CANCELLED: "failed",
        "poison": "failed",
    }
    job = in_state(status)

    reply = polled(Handle(kind=Kind.HERO, job=job.id), job, "https://host")

    assert reply.status == words[status]
    assert (reply.result_url is not None) == (status is Status.SUCCEEDED)
    assert (reply.error is not None) == (reply.status == "failed")
    assert ("cancelled" in (reply.error or "")) == (status is Status.CANCELLED)


@pytest.mark.parametrize(
    ("states", "word", "error"),
    [
        ((Status.PENDING, Status.PENDING), "pending", None),
        ((Status.PENDING, Status.RUNNING), "running", None),
        ((Status.PENDING, Status.SUCCEEDED), "running", None),
        ((Status.FAILED, Status.RUNNING), "running", None),
        ((Status.SUCCEEDED, Status.SUCCEEDED), "done", None),
        ((Status.SUCCEEDED, Status.FAILED), "failed", "1 of 2 images failed"),
        (("poison", "poison"), "failed", "2 of 2 images failed"),
        ((Status.CANCELLED, "poison"), "failed", "2 of 2 images failed, 1 of them cancelled"),
    ],
)
def test_a_batch_is_what_its_jobs_are_together(
    states: tuple[Status | str, ...], word: str, error: str | None
) -> None:
    jobs = [in_state(state) for state in states]

    reply = batch_polled(Handle(kind=Kind.BATCH, job=jobs[0].id), jobs, None)

    assert (reply.status, reply.error) == (word, error)


def test_a_batch_that_has_ended_leads_to_its_manifest(parts: Parts, client: TestClient) -> None:
    handle = submitted(client, BATCH, {"steps": STEPS})
    jobs = list(parts.jobs.stored.values())
    parts.jobs.stored[jobs[0].id] = ended(jobs[0])
    assert poll(client, handle)["status"] == "running"
    parts.jobs.stored[jobs[1].id] = ended(jobs[1], Status.FAILED)
    parts.jobs.stored[jobs[2].id] = ended(jobs[2], Status.CANCELLED)

    first, second = poll(client, handle), poll(client, handle)

    assert first == second
    assert (first["status"], first["error"]) == (
        "failed",
        "2 of 3 images failed, 1 of them cancelled",
    )
    manifest = client.get(first["result_url"])
    assert manifest.json()["job_id"] == handle
    results = manifest.json()["results"]
    assert [(each["step_index"], each["status"]) for each in results] == [
        (1, "done"),
        (2, "failed"),
        (3, "failed"),
    ]
    assert results[0]["result_url"].startswith("http://testserver/static/uploads/generated/")
    assert results[0]["error"] is None
    assert (results[1]["result_url"], results[1]["error"]) == (None, "out of memory")
    assert len(parts.store.objects) == 1


def test_the_same_key_and_body_get_the_first_answer_again(parts: Parts, client: TestClient) -> None:
    key = {"idempotency-key": "once"}
    first = client.post(BATCH, json={"steps": STEPS}, headers=key)

    again = client.post(BATCH, json={"steps": STEPS}, headers=key)
    other = client.post(BATCH, json={"steps": STEPS[:2]}, headers=key)

    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
    assert (other.status_code, list(other.json())) == (422, ["error"])
    assert len(parts.jobs.stored) == 3


def test_a_submit_that_waits_answers_with_the_poll(parts: Parts, client: TestClient) -> None:
    parts.jobs.on_read = parts.jobs.end_all

    waited = client.post(HERO, json={"title": TITLE}, headers={"prefer": "wait=5"})

    assert (waited.status_code, waited.json()["status"]) == (200, "done")
    assert waited.json() == poll(client, waited.json()["job_id"])


def in_state(status: Status | str) -> Job:
    job = make_job(dialect="recipes", meta={"recipe": {"kind": "hero", "recipe_id": "17"}})
    assert Depicted.of(job) is not None
    if status == "poison":
        return poisoned(job)
    if status is Status.PENDING:
        return job
    return running(job) if status is Status.RUNNING else ended(job, Status(status))


def poisoned(job: Job) -> Job:
    run = ended(job, Status.FAILED).current
    failure = Failure(code="poison", message="It has crashed its worker 4 times")
    return with_run(job, run.model_copy(update={"failure": failure}))
