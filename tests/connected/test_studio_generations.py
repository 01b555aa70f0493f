"""Generations over HTTP: what a submit, a poll, a list, a retry and a deletion answer."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from services.mongo import Mongo
from services.settings import Settings
from tests.connected.studio_parts import (
    FLOWS,
    GENERATIONS,
    IMAGES,
    PROMPT,
    Studio,
    new_studio,
    studio_api,
)

pytestmark = pytest.mark.connected

Api = tuple[TestClient, Mongo]
TAKEN = (400, "Alias already exists")
NO_GENERATION = (404, "Generation not found")


@pytest.fixture(scope="module")
async def api(migrated: Settings) -> AsyncIterator[Api]:
    async with studio_api(migrated) as api:
        yield api


@pytest.fixture
async def studio(api: Api, migrated: Settings) -> Studio:
    return await new_studio(api, migrated)


def test_a_submit_answers_with_the_generation_and_its_new_flow(studio: Studio) -> None:
    answer = studio.ask(
        "POST",
        GENERATIONS,
        json={"prompt": PROMPT, "aspectRatio": "16:9", "alias": "@hero", "meta": {"tags": ["x"]}},
    )

    made = answer.json()["data"]
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{GENERATIONS}/{made['id']}"
    assert (made["status"], made["prompt"], made["aspectRatio"]) == ("pending", PROMPT, "16:9")
    assert (made["alias"], made["flowAlias"], made["autoEnhance"]) == ("@hero", None, True)
    assert (made["meta"], made["retryCount"]) == ({"tags": ["x"]}, 0)
    assert 0 <= made["seed"] < 2**53
    assert studio.data("GET", f"{FLOWS}/{made['flowId']}")["generationCount"] == 1
    assert studio.data("GET", answer.headers["location"])["id"] == made["id"]


async def test_a_poll_shows_the_picture_with_its_alias(studio: Studio) -> None:
    pending = studio.generation(alias="@hero", flowAlias="@mine")
    poll = studio.ask("GET", f"{GENERATIONS}/{pending['id']}")

    made = await studio.end(pending["id"])

    assert poll.headers["retry-after"] == "1"
    shown = made["outputImage"]
    assert (made["status"], made["outputImageId"]) == ("success", shown["id"])
    assert (shown["alias"], made["alias"], made["flowAlias"]) == ("@hero", "@hero", "@mine")
    assert shown["url"].startswith("http://testserver/static/uploads/")
    assert "retry-after" not in studio.ask("GET", f"{GENERATIONS}/{pending['id']}").headers
    flow = studio.data("GET", f"{FLOWS}/{made['flowId']}")
    assert flow["aliases"] == {"@mine": shown["id"]}
    assert (flow["generationCount"], flow["imageCount"]) == (1, 1)


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({}, (400, "Prompt is required")),
        ({"prompt": "  "}, (400, "Prompt is required")),
        ({"prompt": None}, (400, "Prompt is required")),
        ({"aspectRatio": "16x9"}, (400, "Invalid aspect ratio")),
        ({"aspectRatio": ""}, (400, "Invalid aspect ratio")),
        ({"aspectRatio": "5:1"}, (400, "Invalid aspect ratio")),
        ({"alias": "hero"}, (400, "Invalid alias")),
        ({"alias": ""}, (400, "Invalid alias")),
        ({"assignFlowAlias": "@a b"}, (400, "Invalid alias")),
        ({"alias": "@last"}, (400, "Reserved alias")),
        ({"flowAlias": "@upload"}, (400, "Reserved alias")),
        ({"flowId": str(uuid4())}, (404, "Flow not found")),
        ({"flowId": "flow-uuid-here"}, (404, "Flow not found")),
        ({"referenceImages": [str(uuid4())]}, (404, "Image not found")),
        ({"referenceImages": ["@nothing"]}, (404, "Image not found")),
        ({"prompt": "a fox like @nothing"}, (404, "Image not found")),
    ],
)
def test_what_is_refused_has_the_documented_message(
    studio: Studio, body: dict[str, Any], refusal: tuple[int, str]
) -> None:
    prompt = {} if body == {} else {"prompt": PROMPT}

    assert studio.refused("POST", GENERATIONS, json={**prompt, **body}) == refusal
    assert studio.ask("GET", GENERATIONS).json()["pagination"]["total"] == 0


def test_no_body_at_all_lacks_its_prompt(studio: Studio) -> None:
    assert studio.refused("POST", GENERATIONS) == (400, "Prompt is required")


@pytest.mark.parametrize("ratio", ["1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "21:9"])
def test_a_ratio_is_kept_and_its_size_the_models(studio: Studio, ratio: str) -> None:
    assert studio.generation(aspectRatio=ratio)["aspectRatio"] == ratio


def test_both_spellings_claim_the_alias(studio: Studio) -> None:
    studio.generation(assignAlias="@hero")

    again = studio.refused("POST", GENERATIONS, json={"prompt": PROMPT, "alias": "@hero"})

    assert again == TAKEN


async def test_references_steer_by_id_and_by_alias_and_a_pending_one_is_waited_for(
    studio: Studio,
) -> None:
    first = await studio.made(alias="@first-hero")
    studio.generation(alias="@soon")

    made = studio.generation(
        prompt="a fox like @soon", referenceImages=["@first-hero", "@last", first["outputImageId"]]
    )

    shown = first["outputImage"]
    assert made["referenceImages"][0] == {
        "id": shown["id"],
        "alias": "@first-hero",
        "url": shown["url"],
    }
    assert made["referenceImages"][-1] == {"id": None, "alias": "@soon", "url": None}


async def test_the_reference_that_was_waited_for_is_shown_once_it_is_there(
    studio: Studio,
) -> None:
    pending = studio.generation(alias="@soon")
    made = studio.generation(referenceImages=["@soon"])

    image = (await studio.end(pending["id"]))["outputImage"]

    shown = studio.data("GET", f"{GENERATIONS}/{made['id']}")["referenceImages"]
    assert shown == [{"id": image["id"], "alias": "@soon", "url": image["url"]}]


def test_the_same_idempotency_key_answers_the_same(studio: Studio) -> None:
    sent: dict[str, Any] = {"headers": {"idempotency-key": str(uuid4())}, "json": {"prompt": "x"}}
    first = studio.ask("POST", GENERATIONS, **sent)

    again = studio.ask("POST", GENERATIONS, **sent)
    other = studio.ask("POST", GENERATIONS, **{**sent, "json": {"prompt": "y"}})

    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "idempotency_mismatch"


async def test_a_replay_is_the_first_answer_even_when_the_picture_is_there(
    studio: Studio,
) -> None:
    sent: dict[str, Any] = {"headers": {"idempotency-key": "once"}, "json": {"prompt": "x"}}
    first = studio.ask("POST", GENERATIONS, **sent)
    await studio.end(first.json()["data"]["id"])

    assert studio.ask("POST", GENERATIONS, **sent).content == first.content


def test_a_submit_that_waits_in_vain_answers_as_one_that_doesnt(studio: Studio) -> None:
    answer = studio.ask("POST", GENERATIONS, json={"prompt": PROMPT}, headers={"prefer": "wait=1"})

    assert (answer.status_code, answer.json()["data"]["status"]) == (201, "pending")


async def test_a_list_is_newest_first_in_pages_by_status_and_flow(studio: Studio) -> None:
    done = await studio.made()
    failed = studio.generation()
    await studio.fail(failed["id"])
    pending = studio.generation(flowId=done["flowId"])

    def ids(query: str) -> list[str]:
        return [each["id"] for each in studio.data("GET", f"{GENERATIONS}?{query}")]

    assert ids("") == [pending["id"], failed["id"], done["id"]]
    assert ids("status=success") == [done["id"]]
    assert ids("status=failed") == [failed["id"]]
    assert ids("status=pending") == [pending["id"]]
    assert ids(f"flowId={done['flowId']}") == [pending["id"], done["id"]]
    assert ids(f"flowId={uuid4()}") == []
    assert ids("limit=1&offset=1") == [failed["id"]]
    page = studio.ask("GET", f"{GENERATIONS}?limit=2").json()["pagination"]
    assert page == {"limit": 2, "offset": 0, "total": 3, "hasMore": True}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "status=done", "flowId=x", "offset=-1"])
def test_a_list_refuses_what_it_cant_read(studio: Studio, query: str) -> None:
    assert studio.refused("GET", f"{GENERATIONS}?{query}")[0] == 400


@pytest.mark.parametrize("verb", ["retry", "regenerate"])
async def test_a_retry_is_pending_and_keeps_the_last_good_picture(
    studio: Studio, verb: str
) -> None:
    made = await studio.made(alias="@hero")
    path = f"{GENERATIONS}/{made['id']}"

    answer = studio.ask("POST", f"{path}/{verb}")
    again = answer.json()["data"]

    assert (answer.status_code, answer.headers["location"]) == (200, path)
    assert (again["id"], again["status"], again["retryCount"]) == (made["id"], "pending", 1)
    assert again["outputImage"] == made["outputImage"]
    assert again["seed"] != made["seed"]
    newer = await studio.end(made["id"])
    assert newer["outputImageId"] != made["outputImageId"]
    assert newer["outputImage"]["alias"] == "@hero"
    assert studio.data("GET", f"{IMAGES}/{made['outputImageId']}")["alias"] is None


async def test_a_retry_may_change_the_prompt_the_ratio_and_the_seed(studio: Studio) -> None:
    made = await studio.made()
    path = f"{GENERATIONS}/{made['id']}/retry"

    again = studio.data("POST", path, json={"prompt": "a fox", "aspectRatio": "3:2", "seed": 7})

    assert (again["prompt"], again["aspectRatio"], again["seed"]) == ("a fox", "3:2", 7)


async def test_a_retry_is_refused_while_it_runs_and_for_what_is_not_valid(studio: Studio) -> None:
    path = f"{GENERATIONS}/{studio.generation()['id']}/retry"
    done = f"{GENERATIONS}/{(await studio.made())['id']}/retry"

    assert studio.refused("POST", path)[0] == 400
    assert studio.refused("POST", done, json={"prompt": ""}) == (400, "Prompt is required")
    ratio = studio.refused("POST", done, json={"aspectRatio": "1:9"})
    assert ratio == (400, "Invalid aspect ratio")
    assert studio.refused("POST", f"{GENERATIONS}/{uuid4()}/retry") == NO_GENERATION


async def test_a_retry_is_answered_once_for_its_idempotency_key(studio: Studio) -> None:
    path = f"{GENERATIONS}/{(await studio.made())['id']}/retry"
    first = studio.ask("POST", path, headers={"idempotency-key": "again"})

    again = studio.ask("POST", path, headers={"idempotency-key": "again"})

    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"


async def test_what_is_deleted_is_there_for_those_who_ask_for_it(studio: Studio) -> None:
    made = await studio.made(alias="@hero")
    path, image = f"{GENERATIONS}/{made['id']}", f"{IMAGES}/{made['outputImageId']}"

    deleted = studio.data("DELETE", path)

    assert deleted["id"] == made["id"]
    assert studio.refused("GET", path) == NO_GENERATION
    assert studio.refused("GET", image) == (404, "Image not found")
    assert studio.refused("DELETE", path) == NO_GENERATION
    shown = studio.data("GET", f"{path}?includeDeleted=true")
    assert (shown["deletedAt"], shown["outputImageId"]) == (
        deleted["deletedAt"],
        made["outputImageId"],
    )
    assert studio.data("GET", f"{image}?includeDeleted=true")["deletedAt"] is not None
    assert studio.data("GET", GENERATIONS) == []
    assert len(studio.data("GET", f"{GENERATIONS}?includeDeleted=true")) == 1
    studio.generation(alias="@hero")


async def test_what_is_purged_is_gone_for_everybody(studio: Studio) -> None:
    made = await studio.made()
    path = f"{GENERATIONS}/{made['id']}"
    studio.data("DELETE", path)

    studio.data("DELETE", f"{path}?permanent=true")

    assert studio.refused("GET", f"{path}?includeDeleted=true") == NO_GENERATION
    assert studio.client.get(made["outputImage"]["url"]).status_code == 410


async def test_another_project_finds_nothing(api: Api, migrated: Settings, studio: Studio) -> None:
    made = await studio.made(alias="@hero")
    other = await new_studio(api, migrated)
    path = f"{GENERATIONS}/{made['id']}"

    for method, at in (("GET", path), ("DELETE", path), ("POST", f"{path}/retry")):
        assert other.refused(method, at) == NO_GENERATION
    assert other.data("GET", GENERATIONS) == []
    asked = {"prompt": PROMPT, "referenceImages": [made["outputImageId"]]}
    assert other.refused("POST", GENERATIONS, json=asked) == (404, "Image not found")
    in_flow = {"prompt": PROMPT, "flowId": made["flowId"]}
    assert other.refused("POST", GENERATIONS, json=in_flow) == (404, "Flow not found")
    other.generation(alias="@hero")


async def test_every_request_with_the_key_counts(api: Api, migrated: Settings) -> None:
    limited = await new_studio(api, migrated, "3/hour")
    answers = [
        limited.ask("GET", GENERATIONS),
        limited.ask("GET", f"{GENERATIONS}/{uuid4()}"),
        limited.ask("POST", GENERATIONS, json={}),
        limited.ask("GET", GENERATIONS),
    ]

    assert [answer.status_code for answer in answers] == [200, 404, 400, 429]
    left = [answer.headers["ratelimit"].split(";")[1] for answer in answers]
    assert left == ["r=2", "r=1", "r=0", "r=0"]
    assert answers[3].json() == {
        "success": False,
        "error": {"code": "rate_limited", "message": "The limit of 3/hour is used up"},
    }
    assert int(answers[3].headers["retry-after"]) > 3500


def test_without_a_key_it_is_401_in_studios_shape(studio: Studio) -> None:
    answer = studio.client.get(GENERATIONS)

    assert answer.status_code == 401
    assert answer.json()["success"] is False
