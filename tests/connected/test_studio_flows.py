"""Flows over HTTP: begun, listed with what they hold, given aliases, deleted."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from services.mongo import Mongo
from services.settings import Settings
from tests.connected.studio_parts import FLOWS, GENERATIONS, IMAGES, Studio, new_studio, studio_api

pytestmark = pytest.mark.connected

Api = tuple[TestClient, Mongo]
NO_FLOW = (404, "Flow not found")


@pytest.fixture(scope="module")
async def api(migrated: Settings) -> AsyncIterator[Api]:
    async with studio_api(migrated) as api:
        yield api


@pytest.fixture
async def studio(api: Api, migrated: Settings) -> Studio:
    return await new_studio(api, migrated)


@pytest.fixture
def flow(studio: Studio) -> str:
    return str(studio.data("POST", FLOWS)["id"])


def test_a_flow_is_begun_with_its_meta_or_with_none(studio: Studio) -> None:
    answer = studio.ask("POST", FLOWS, json={"meta": {"name": "Campaign"}})

    begun = answer.json()["data"]
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{FLOWS}/{begun['id']}"
    assert studio.data("GET", answer.headers["location"]) == begun
    assert {name: begun[name] for name in ("aliases", "meta", "generationCount", "imageCount")} == {
        "aliases": {},
        "meta": {"name": "Campaign"},
        "generationCount": 0,
        "imageCount": 0,
    }
    assert studio.data("POST", FLOWS)["meta"] == {}


def test_the_same_idempotency_key_begins_one_flow(studio: Studio) -> None:
    sent: dict[str, Any] = {"headers": {"idempotency-key": "once"}, "json": {"meta": {"n": 1}}}
    first = studio.ask("POST", FLOWS, **sent)

    again = studio.ask("POST", FLOWS, **sent)
    other = studio.ask("POST", FLOWS, **{**sent, "json": {}})

    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert other.status_code == 422
    assert len(studio.data("GET", FLOWS)) == 1


@pytest.mark.parametrize("body", [[], {"meta": []}, {"meta": "x"}, {"meta": {"a": 2**64}}])
def test_a_body_that_is_not_valid_is_400(studio: Studio, body: Any) -> None:
    assert studio.refused("POST", FLOWS, json=body)[0] == 400


def test_a_list_is_newest_first_in_pages(studio: Studio) -> None:
    begun = [studio.data("POST", FLOWS)["id"] for _ in range(3)]

    page = studio.ask("GET", f"{FLOWS}?limit=2").json()

    assert [each["id"] for each in page["data"]] == begun[:0:-1]
    assert page["pagination"] == {"limit": 2, "offset": 0, "total": 3, "hasMore": True}


async def test_a_flow_lists_its_generations_and_images(studio: Studio, flow: str) -> None:
    made = await studio.made(flowId=flow)
    pending = studio.generation(flowId=flow)
    await studio.made()

    generations = studio.ask("GET", f"{FLOWS}/{flow}/generations?limit=1").json()
    images = studio.data("GET", f"{FLOWS}/{flow}/images")

    assert [each["id"] for each in generations["data"]] == [pending["id"]]
    assert generations["pagination"]["total"] == 2
    assert [each["id"] for each in images] == [made["outputImageId"]]
    assert (images[0]["flowId"], images[0]["generationId"]) == (flow, made["id"])


async def test_aliases_merge_and_overwrite_and_go_one_by_one(studio: Studio, flow: str) -> None:
    first, second = [(await studio.made())["outputImageId"] for _ in range(2)]
    path = f"{FLOWS}/{flow}/aliases"

    def put(**aliases: str) -> dict[str, str]:
        sent = {f"@{name}": image for name, image in aliases.items()}
        found: dict[str, str] = studio.data("PUT", path, json={"aliases": sent})["aliases"]
        return found

    assert put(hero=first) == {"@hero": first}
    assert put(background=second, hero=second) == {"@background": second, "@hero": second}
    assert studio.data("DELETE", f"{path}/%40hero")["aliases"] == {"@background": second}
    assert studio.data("DELETE", f"{path}/@background")["aliases"] == {}
    assert studio.data("DELETE", f"{path}/@background")["aliases"] == {}


@pytest.mark.parametrize(
    ("aliases", "refusal"),
    [
        ({"@hero": str(uuid4())}, (404, "Image not found")),
        ({"@hero": "image-uuid-here"}, (404, "Image not found")),
        ({"hero": str(uuid4())}, (400, "Invalid alias")),
        ({"@last": str(uuid4())}, (400, "Reserved alias")),
    ],
)
async def test_aliases_are_set_all_or_none(
    studio: Studio, flow: str, aliases: dict[str, str], refusal: tuple[int, str]
) -> None:
    good = {"@good": (await studio.made())["outputImageId"]}
    path = f"{FLOWS}/{flow}/aliases"

    assert studio.refused("PUT", path, json={"aliases": {**good, **aliases}}) == refusal
    assert studio.data("GET", f"{FLOWS}/{flow}")["aliases"] == {}


@pytest.mark.parametrize("body", [None, {}, {"aliases": None}, {"aliases": {"@a": 1}}])
def test_aliases_need_a_map(studio: Studio, flow: str, body: Any) -> None:
    assert studio.refused("PUT", f"{FLOWS}/{flow}/aliases", json=body)[0] == 400


async def test_a_deleted_flow_leaves_what_it_had(studio: Studio, flow: str) -> None:
    made = await studio.made(flowId=flow, flowAlias="@hero")

    assert studio.data("DELETE", f"{FLOWS}/{flow}") == {"id": flow}

    for path in ("", "/generations", "/images"):
        assert studio.refused("GET", f"{FLOWS}/{flow}{path}") == NO_FLOW
    assert studio.refused("DELETE", f"{FLOWS}/{flow}") == NO_FLOW
    generation = studio.data("GET", f"{GENERATIONS}/{made['id']}")
    image = studio.data("GET", f"{IMAGES}/{made['outputImageId']}")
    assert (generation["flowId"], image["flowId"]) == (None, None)


async def test_a_picture_that_comes_after_its_flow_belongs_to_none(
    studio: Studio, flow: str
) -> None:
    pending = studio.generation(flowId=flow)
    studio.data("DELETE", f"{FLOWS}/{flow}")

    made = await studio.end(pending["id"])

    assert made["flowId"] is None
    assert studio.data("GET", f"{IMAGES}/{made['outputImageId']}")["flowId"] is None
    assert [each["flowId"] for each in studio.data("GET", IMAGES)] == [None]


async def test_another_project_has_other_flows(
    api: Api, migrated: Settings, studio: Studio, flow: str
) -> None:
    other = await new_studio(api, migrated)
    image = (await other.made())["outputImageId"]
    path = f"{FLOWS}/{flow}"

    assert [each["id"] for each in studio.data("GET", FLOWS)] == [flow]
    assert flow not in [each["id"] for each in other.data("GET", FLOWS)]
    for method, at in (("GET", path), ("DELETE", path), ("DELETE", f"{path}/aliases/@a")):
        assert other.refused(method, at) == NO_FLOW
    sent = {"aliases": {"@mine": image}}
    assert other.refused("PUT", f"{path}/aliases", json=sent) == NO_FLOW
    theirs = studio.refused("PUT", f"{path}/aliases", json=sent)
    assert theirs == (404, "Image not found")
