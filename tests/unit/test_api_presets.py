"""The presets dialect over HTTP, with fakes behind the API."""

import json
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient

from schemas.common import SEED_LIMIT
from schemas.jobs import Dialect, Failure, Job, PresetVersion, Run, Status
from schemas.wire.presets import polled
from services.errors import InvalidRequest
from services.settled import settled
from tests.unit.api_fakes import (
    CATALOGUE,
    KEY,
    LIMITED_KEY,
    LIVE_KEY,
    OTHER_KEY,
    READ_KEY,
    ended,
    make_job,
    output,
    running,
    with_run,
)
from tests.unit.preset_fakes import PresetParts

PRESETS = "/api/v1/presets"
GENERATE = "/api/v1/generate/example_01"
JOB = "/api/v1/job"
LABEL = "Preset: Example Preset – preview"  # noqa: RUF001 - as documented
OWN = {"name": "Poster", "prompt": "a blue star", "checkpoint": "tiny"}


@pytest.fixture
def parts() -> PresetParts:
    return PresetParts()


@pytest.fixture
def client(parts: PresetParts) -> Iterator[TestClient]:
    with parts.client() as client:
        client.headers["x-api-key"] = KEY
        yield client


def preset_job(**fields: object) -> Job:
    return make_job(dialect=Dialect.PRESETS, meta={"preset": "Example Preset"}, **fields)


def made(preset: str = "example_01") -> Job:
    """As it ends with the document's own numbers."""
    path = f"presets/{preset}/gen_1773601346.png"
    (picture,) = output().pictures
    shown = picture.model_copy(update={"relative_path": path, "seed": 927640517599332})
    facts = {"pictures": (shown,)}
    job = preset_job(_id=(job_id := UUID("783f0268-ba85-4426-8ca2-6393c844c887")), run=job_id)
    run = Run(number=1, status=Status.SUCCEEDED, output=output().model_copy(update=facts))
    return with_run(job, run)


def test_every_project_has_the_documented_preset_first(client: TestClient) -> None:
    listed = client.get(PRESETS).json()

    assert listed["presets"][0] == {
        "preset_id": "example_01",
        "slug": "example_01",
        "name": "Example Preset",
        "has_cover": False,
    }
    assert 3 <= len(listed["presets"]) <= 4


def test_the_list_is_as_printed_once_the_preset_has_a_cover(
    client: TestClient, parts: PresetParts
) -> None:
    cover = uuid4()
    parts.presets.images = {cover}
    named = {**OWN, "name": "Example Preset", "cover_image_id": str(cover)}

    assert client.put(f"{PRESETS}/example_01", json=named).status_code == 201

    assert client.get(PRESETS).json()["presets"][0] == {
        "preset_id": "example_01",
        "slug": "example_01",
        "name": "Example Preset",
        "has_cover": True,
    }


def test_generate_answers_202_with_a_queued_job(client: TestClient) -> None:
    answer = client.post(GENERATE, json={})

    (job,) = answer.json()["jobs"]
    assert answer.status_code == 202
    assert set(job) == {"job_id", "status"}
    assert job["status"] == "queued"
    assert answer.headers["location"] == f"{JOB}/{job['job_id']}"


@pytest.mark.parametrize("body", [b"", b"{}", b" \n"])
def test_an_empty_body_is_the_preset_alone(
    client: TestClient, parts: PresetParts, body: bytes
) -> None:
    assert client.post(GENERATE, content=body).status_code == 202

    (wish,) = parts.jobs.wishes
    assert wish.spec.prompt == "a large red circle on a blue background"
    assert wish.spec.preset == PresetVersion(slug="example_01", version=1)
    assert wish.dialect is Dialect.PRESETS


def test_each_picture_is_a_job_with_the_next_seed(client: TestClient, parts: PresetParts) -> None:
    answer = client.post(GENERATE, json={"count": 3, "seed": SEED_LIMIT - 2})

    assert len(answer.json()["jobs"]) == 3
    assert [wish.spec.seed for wish in parts.jobs.wishes] == [SEED_LIMIT - 2, SEED_LIMIT - 1, 0]
    assert [wish.spec.num_images for wish in parts.jobs.wishes] == [1, 1, 1]
    assert [str(wish.job_id) for wish in parts.jobs.wishes] == [
        job["job_id"] for job in answer.json()["jobs"]
    ]


def test_a_seed_that_is_not_given_is_drawn_and_counted_on(
    client: TestClient, parts: PresetParts
) -> None:
    client.post(GENERATE, json={"count": 2})

    first, second = (wish.spec.seed for wish in parts.jobs.wishes)
    assert first is not None
    assert second == (first + 1) % SEED_LIMIT


def test_extra_prompts_are_appended_and_the_rest_is_overridden(
    client: TestClient, parts: PresetParts
) -> None:
    extra = {"extra_positive": "smiling, outdoors", "extra_negative": "blurry"}
    client.post(GENERATE, json={**extra, "checkpoint": "tiny", "width": 128, "height": 192})

    (wish,) = parts.jobs.wishes
    assert wish.spec.prompt == "a large red circle on a blue background, smiling, outdoors"
    assert wish.spec.negative_prompt == "blurry"
    assert (wish.spec.model, wish.spec.width, wish.spec.height) == ("tiny", 128, 192)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"count": 0}, "count"),
        ({"count": 21}, "count"),
        ({"count": "3"}, "count"),
        ({"seed": -1}, "seed"),
        ({"seed": SEED_LIMIT}, "seed"),
        ({"width": 512}, "width and height go together"),
        ({"height": 512}, "width and height go together"),
        ({"width": 100, "height": 100}, "multiple of 8"),
        ({"width": 4096, "height": 4096}, "width"),
        ({"checkpoint": "Illustrious/model.safetensors"}, "Illustrious/model.safetensors"),
        ({"extra_positive": "x" * 3_990}, "extra_positive"),
        ([], "body"),
    ],
)
def test_a_bad_body_is_400_and_says_what_is_wrong(
    client: TestClient, parts: PresetParts, body: object, named: str
) -> None:
    answer = client.post(GENERATE, json=body)

    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}
    assert named in answer.json()["error"]
    assert not parts.jobs.wishes


@pytest.mark.parametrize("slug", ["nothing", "UPPER", "a%2F..%2Fb", "x" * 65])
def test_an_unknown_preset_is_404(client: TestClient, slug: str) -> None:
    for answer in (client.post(f"/api/v1/generate/{slug}"), client.get(f"{PRESETS}/{slug}")):
        assert answer.status_code == 404
        assert answer.json() == {"error": "Preset not found"}


@pytest.mark.parametrize("job", [str(uuid4()), "img_1", "x"])
def test_an_unknown_job_is_404(client: TestClient, job: str) -> None:
    answer = client.get(f"{JOB}/{job}")

    assert (answer.status_code, answer.json()) == (404, {"error": "Job not found"})


def test_jobs_of_another_project_or_dialect_are_404(client: TestClient, parts: PresetParts) -> None:
    location = client.post(GENERATE).headers["location"]
    of_blog = make_job()
    parts.jobs.stored[of_blog.id] = of_blog

    assert client.get(location, headers={"x-api-key": OTHER_KEY}).status_code == 404
    assert client.get(f"{JOB}/{of_blog.id}").status_code == 404


def test_a_poll_straight_after_a_submit_is_pending(client: TestClient) -> None:
    answer = client.get(client.post(GENERATE).headers["location"])

    assert answer.status_code == 200
    assert answer.headers["retry-after"] == "1"
    assert answer.json() == {
        "id": answer.json()["id"],
        "label": LABEL,
        "status": "pending",
        "error": None,
    }


def test_a_finished_job_is_as_printed(client: TestClient, parts: PresetParts) -> None:
    job = made()
    parts.jobs.stored[job.id] = job

    answer = client.get(f"{JOB}/{job.id}")

    assert "retry-after" not in answer.headers
    assert json.dumps(answer.json(), indent=2, ensure_ascii=False) == (
        """{
  "id": "783f0268-ba85-4426-8ca2-6393c844c887",
  "label": "Preset: Example Preset – preview",
  "status": "done",
  "error": null,
  "result": {
    "image_url": "/static/uploads/presets/example_01/gen_1773601346.png",
    "relative_path": "presets/example_01/gen_1773601346.png",
    "seed": 927640517599332
  }
}"""  # noqa: RUF001 - as documented
    )


def of_status(status: Status) -> Job:
    match status:
        case Status.PENDING:
            return preset_job()
        case Status.RUNNING:
            return running(preset_job())
    return ended(preset_job(), status)


@pytest.mark.parametrize(
    ("job", "word"),
    [
        (of_status(Status.PENDING), "pending"),
        (of_status(Status.RUNNING), "processing"),
        (of_status(Status.SUCCEEDED), "done"),
        (of_status(Status.FAILED), "failed"),
        (of_status(Status.CANCELLED), "failed"),
        (
            with_run(
                preset_job(),
                Run(
                    number=1,
                    status=Status.FAILED,
                    failure=Failure(code="poison", message="its worker died three times"),
                ),
            ),
            "failed",
        ),
    ],
)
def test_every_core_state_has_its_word(job: Job, word: str) -> None:
    shown = polled(job).model_dump(exclude_unset=True)

    assert shown["status"] == word
    assert (shown["error"] is not None) == (word == "failed")
    assert ("result" in shown) == (word == "done")
    if job.status is Status.CANCELLED:
        assert "cancelled" in shown["error"]


def test_waiting_answers_with_all_jobs_once_they_have_ended(
    client: TestClient, parts: PresetParts
) -> None:
    parts.jobs.on_read = parts.jobs.end_all

    answer = client.post(GENERATE, json={"count": 2}, headers={"prefer": "wait=5"})

    assert answer.status_code == 200
    assert [job["status"] for job in answer.json()["jobs"]] == ["done", "done"]


def test_a_key_is_taken_from_the_query_too(client: TestClient) -> None:
    del client.headers["x-api-key"]

    submitted = client.post(f"{GENERATE}?api_key={KEY}")
    polled = client.get(f"{submitted.headers['location']}?api%5Fkey={KEY}")

    assert (submitted.status_code, polled.status_code) == (202, 200)


@pytest.mark.parametrize("query", ["", "?api_key=", "?api_key", "?key=x"])
def test_a_missing_key_is_401(client: TestClient, query: str) -> None:
    del client.headers["x-api-key"]

    poll = f"/api/v1/job/{uuid4()}"
    for answer in (
        client.post(GENERATE + query),
        *map(client.get, (PRESETS + query, poll + query)),
    ):
        assert (answer.status_code, answer.json()) == (401, {"error": "Missing API key"})


def test_a_wrong_key_is_403_wherever_it_is(client: TestClient) -> None:
    del client.headers["x-api-key"]
    wrong: list[tuple[str, dict[str, str]]] = [
        ("?api_key=wrong", {}),
        ("", {"x-api-key": "wrong"}),
        ("", {"authorization": "Bearer wrong"}),
        (f"?api_key={KEY}", {"x-api-key": "wrong"}),
    ]

    for query, headers in wrong:
        for path in (PRESETS, f"/api/v1/job/{uuid4()}"):
            answer = client.get(path + query, headers=headers)
            assert (answer.status_code, answer.json()) == (403, {"error": "Invalid API key"})


def test_other_dialects_take_no_key_from_the_query(client: TestClient) -> None:
    del client.headers["x-api-key"]

    assert client.get(f"/api/v1/images/jobs?api_key={KEY}").status_code == 401


def test_what_is_beside_the_key_in_the_query_stays(client: TestClient) -> None:
    bad = client.get(f"{PRESETS}/example_01?version=x&api_key={KEY}&b=1")

    assert bad.status_code == 400
    assert "version" in bad.json()["error"]


def test_a_reader_lists_and_polls_and_generates_nothing(client: TestClient) -> None:
    client.headers["x-api-key"] = READ_KEY

    assert client.get(PRESETS).status_code == 200
    assert client.get(f"/api/v1/job/{uuid4()}").status_code == 404
    assert client.post(GENERATE).status_code == 403


def test_a_key_for_live_pictures_is_told_of_no_job(client: TestClient) -> None:
    poll = client.post(GENERATE).headers["location"]
    client.headers["x-api-key"] = LIVE_KEY

    assert client.get(poll).status_code == 403
    assert client.get(f"/api/v1/job/{uuid4()}").status_code == 403


def test_many_pictures_count_as_one_request(client: TestClient) -> None:
    client.headers["x-api-key"] = LIMITED_KEY

    codes = [client.post(GENERATE, json={"count": 20}).status_code for _ in range(3)]

    assert codes == [202, 202, 429]


def test_an_idempotency_key_gets_the_first_answer_again(
    client: TestClient, parts: PresetParts
) -> None:
    once = {"headers": {"idempotency-key": "k"}}
    client.put(f"{PRESETS}/poster", json=OWN)
    first = client.post("/api/v1/generate/poster", json={}, **once)  # type: ignore[arg-type]
    client.delete(f"{PRESETS}/poster")
    again = client.post("/api/v1/generate/poster", json={}, **once)  # type: ignore[arg-type]

    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert len(parts.jobs.stored) == 1


def test_a_preset_is_saved_shown_and_deleted(client: TestClient) -> None:
    created = client.put(f"{PRESETS}/poster", json=OWN)
    changed = client.put(f"{PRESETS}/poster", json={**OWN, "tier": "draft"})
    shown = client.get(f"{PRESETS}/poster")
    older = client.get(f"{PRESETS}/poster?version=1")
    deleted = client.delete(f"{PRESETS}/poster")

    assert [each.status_code for each in (created, changed, shown, deleted)] == [201, 200, 200, 200]
    assert shown.json() == changed.json()
    assert (changed.json()["version"], changed.json()["tier"]) == (2, "draft")
    assert (older.json()["version"], older.json()["tier"]) == (1, "standard")
    assert shown.json()["seeded"] is False
    assert {"width", "height", "guidance_scale", "cover_image_id"} <= set(shown.json())
    assert client.get(f"{PRESETS}/poster").status_code == 404


def test_an_earlier_version_can_be_made_again(client: TestClient, parts: PresetParts) -> None:
    client.put(f"{PRESETS}/poster", json=OWN)
    client.put(f"{PRESETS}/poster", json={**OWN, "prompt": "a green star"})

    client.post("/api/v1/generate/poster", json={"version": 1})

    (wish,) = parts.jobs.wishes
    assert wish.spec.prompt == "a blue star"
    assert wish.spec.preset == PresetVersion(slug="poster", version=1)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": ""}, "name"),
        ({"prompt": "  "}, "Prompt is required"),
        ({"checkpoint": "unknown"}, "unknown"),
        ({"width": 64}, "go together"),
        ({"width": 8, "height": 8}, "width"),
        ({"loras": [{"id": "nothing"}]}, "nothing"),
        ({"guidance_scale": 51}, "guidance_scale"),
        ({"guidance_scale": False}, "guidance_scale"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"tier": "best"}, "tier"),
        ({"cover_image_id": "x"}, "cover_image_id"),
    ],
)
def test_a_preset_that_nothing_could_be_made_from_is_refused(
    client: TestClient, change: dict[str, object], named: str
) -> None:
    answer = client.put(f"{PRESETS}/poster", json={**OWN, **change})

    assert answer.status_code == 400
    assert named in answer.json()["error"]


def test_a_slug_that_is_none_is_400(client: TestClient) -> None:
    answer = client.put(f"{PRESETS}/Ümlaut", json=OWN)

    assert answer.status_code == 400
    assert "slug" in answer.json()["error"]


def test_a_seeded_preset_cannot_be_deleted(client: TestClient) -> None:
    answer = client.delete(f"{PRESETS}/example_01")

    assert (answer.status_code, answer.json()) == (400, {"error": "example_01 belongs to all"})


@pytest.mark.parametrize(
    "preset", [{"slug": "../generated"}, {"slug": "a\n"}, {"slug": "a", "version": 2**63}]
)
def test_what_can_be_no_preset_makes_no_path(preset: dict[str, object]) -> None:
    spec = make_job().spec.model_copy(
        update={"preset": PresetVersion.model_validate({"version": 1, **preset})}
    )

    with pytest.raises(InvalidRequest, match="no such version"):
        settled(spec, CATALOGUE, uuid4())
