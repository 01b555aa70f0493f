"""Images over HTTP: listed, found by id and by alias, marked, deleted."""

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
NO_IMAGE = (404, "Image not found")
TAKEN = (400, "Alias already exists")


@pytest.fixture(scope="module")
async def api(migrated: Settings) -> AsyncIterator[Api]:
    async with studio_api(migrated) as api:
        yield api


@pytest.fixture
async def studio(api: Api, migrated: Settings) -> Studio:
    return await new_studio(api, migrated)


@pytest.fixture
async def image(studio: Studio) -> str:
    return str((await studio.made())["outputImageId"])


async def test_an_image_has_every_field_and_null_for_what_is_not_known(studio: Studio) -> None:
    made = await studio.made(alias="@hero")

    shown = studio.data("GET", f"{IMAGES}/{made['outputImageId']}")

    path = shown["relativePath"]
    assert shown == {
        "id": made["outputImageId"],
        "url": f"http://testserver/static/uploads/{path}",
        "storageUrl": f"http://testserver/static/uploads/{path}",
        "relativePath": path,
        "source": "generated",
        "alias": "@hero",
        "flowId": made["flowId"],
        "generationId": made["id"],
        "width": 8,
        "height": 8,
        "mimeType": "image/png",
        "fileSize": 9,
        "focalPoint": None,
        "meta": {},
        "createdAt": shown["createdAt"],
        "updatedAt": shown["createdAt"],
        "deletedAt": None,
    }
    assert shown["createdAt"].endswith("Z")


async def test_a_list_is_by_source_flow_and_alias(studio: Studio) -> None:
    made = await studio.made(alias="@hero")
    uploaded = str((await studio.uploaded()).id)

    def ids(query: str) -> list[str]:
        return [each["id"] for each in studio.data("GET", f"{IMAGES}?{query}")]

    assert ids("") == [uploaded, made["outputImageId"]]
    assert ids("source=uploaded") == [uploaded]
    assert ids("source=generated") == [made["outputImageId"]]
    assert ids("alias=@hero") == ids("alias=%40hero") == [made["outputImageId"]]
    assert ids("alias=@other") == []
    assert ids(f"flowId={made['flowId']}") == [made["outputImageId"]]
    page = studio.ask("GET", f"{IMAGES}?limit=1").json()["pagination"]
    assert page == {"limit": 1, "offset": 0, "total": 2, "hasMore": True}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "source=drawn", "flowId=x"])
def test_a_list_refuses_what_it_cant_read(studio: Studio, query: str) -> None:
    assert studio.refused("GET", f"{IMAGES}?{query}")[0] == 400


async def test_an_alias_is_resolved_technical_then_flow_then_project(studio: Studio) -> None:
    first = await studio.made(alias="@hero")
    last = await studio.made(flowAlias="@hero")
    uploaded = str((await studio.uploaded()).id)
    flow = last["flowId"]

    def resolved(alias: str) -> tuple[str, str, str | None]:
        found = studio.data("GET", f"{IMAGES}/resolve/{alias}")
        return found["image"]["id"], found["scope"], found["flowId"]

    assert resolved("@last") == (last["outputImageId"], "technical", None)
    assert resolved("%40first") == (first["outputImageId"], "technical", None)
    assert resolved("@upload") == (uploaded, "technical", None)
    assert resolved("@hero") == (first["outputImageId"], "project", None)
    assert resolved(f"@hero?flowId={flow}") == (last["outputImageId"], "flow", flow)
    assert resolved(f"@last?flowId={flow}")[1] == "technical"


def test_an_alias_that_leads_nowhere_yet_is_404(studio: Studio) -> None:
    studio.generation(alias="@soon")

    for alias in ("@soon", "@never", "@last", "never"):
        assert studio.refused("GET", f"{IMAGES}/resolve/{alias}") == NO_IMAGE
    for flow in (uuid4(), "flow-uuid-here"):
        refused = studio.refused("GET", f"{IMAGES}/resolve/@soon?flowId={flow}")
        assert refused == (404, "Flow not found")


async def test_marks_are_set_together_and_taken_away_one_by_one(studio: Studio, image: str) -> None:
    path = f"{IMAGES}/{image}"
    marks = {"alias": "@new", "focalPoint": {"x": 0.5, "y": 1}, "meta": {"note": "x"}}

    def shown(body: dict[str, Any]) -> dict[str, Any]:
        found = studio.data("PUT", path, json=body)
        assert studio.data("GET", path) == found
        return {name: found[name] for name in marks}

    assert shown(marks) == {**marks, "focalPoint": {"x": 0.5, "y": 1.0}}
    assert shown({})["alias"] == "@new"
    assert shown({"alias": None})["alias"] is None
    assert shown({"focalPoint": None})["focalPoint"] is None
    assert shown({"meta": None}) == {"alias": None, "focalPoint": None, "meta": {}}


@pytest.mark.parametrize(
    "body",
    [
        {"focalPoint": {"x": 1.1, "y": 0}},
        {"focalPoint": {"x": "0.5", "y": 0}},
        {"focalPoint": {"x": True, "y": 0}},
        {"focalPoint": {"x": 0.5}},
        {"meta": []},
        {"alias": 5},
        {"alias": ""},
        {"alias": "new"},
        [],
        None,
    ],
)
async def test_marks_that_are_not_valid_are_400(studio: Studio, image: str, body: Any) -> None:
    assert studio.refused("PUT", f"{IMAGES}/{image}", json=body)[0] == 400


async def test_an_alias_is_one_image_s_until_it_is_free(studio: Studio) -> None:
    first, second = [f"{IMAGES}/{(await studio.made())['outputImageId']}" for _ in range(2)]
    hero = {"json": {"alias": "@hero"}}

    assert studio.data("PUT", f"{first}/alias", **hero)["alias"] == "@hero"
    assert studio.data("PUT", f"{first}/alias", **hero)["alias"] == "@hero"
    assert studio.refused("PUT", f"{second}/alias", **hero) == TAKEN
    assert studio.refused("PUT", second, **hero) == TAKEN
    assert studio.data("DELETE", f"{first}/alias")["alias"] is None
    assert studio.data("PUT", f"{second}/alias", **hero)["alias"] == "@hero"
    assert studio.data("PUT", f"{second}/alias", json={"alias": None})["alias"] is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"alias": "@last"}, "Reserved alias"),
        ({"alias": "last"}, "Invalid alias"),
        ({"alias": ""}, "Invalid alias"),
        ({"alias": "@" + "a" * 65}, "Invalid alias"),
    ],
)
async def test_an_alias_is_validated(
    studio: Studio, image: str, body: dict[str, str], message: str
) -> None:
    assert studio.refused("PUT", f"{IMAGES}/{image}/alias", json=body) == (400, message)
    assert studio.refused("PUT", f"{IMAGES}/{image}/alias", json={})[0] == 400


async def test_a_deleted_image_still_serves_and_frees_its_alias(studio: Studio) -> None:
    made = await studio.made(alias="@hero")
    path = f"{IMAGES}/{made['outputImageId']}"

    deleted = studio.data("DELETE", path)

    assert studio.refused("GET", path) == NO_IMAGE
    assert studio.refused("DELETE", path) == NO_IMAGE
    assert studio.refused("PUT", path, json={"meta": {}}) == NO_IMAGE
    assert studio.refused("GET", f"{IMAGES}/resolve/@hero") == NO_IMAGE
    shown = studio.data("GET", f"{path}?includeDeleted=true")
    assert (shown["deletedAt"], shown["alias"]) == (deleted["deletedAt"], None)
    assert studio.data("GET", IMAGES) == []
    assert len(studio.data("GET", f"{IMAGES}?includeDeleted=true")) == 1
    assert studio.data("GET", f"{GENERATIONS}/{made['id']}")["status"] == "success"


async def test_a_purged_image_is_gone_for_everybody(studio: Studio, image: str) -> None:
    path = f"{IMAGES}/{image}"
    url = studio.data("GET", path)["url"]

    assert studio.data("DELETE", f"{path}?permanent=true")["id"] == image

    assert studio.refused("GET", f"{path}?includeDeleted=true") == NO_IMAGE
    assert studio.data("GET", f"{IMAGES}?includeDeleted=true") == []
    assert studio.client.get(url).status_code == 410


async def test_another_project_finds_no_image(
    api: Api, migrated: Settings, studio: Studio, image: str
) -> None:
    other = await new_studio(api, migrated)
    path = f"{IMAGES}/{image}"

    assert other.data("GET", IMAGES) == []
    for method, at in (("GET", path), ("DELETE", path), ("DELETE", f"{path}/alias")):
        assert other.refused(method, at) == NO_IMAGE
    assert other.refused("PUT", f"{path}/alias", json={"alias": "@mine"}) == NO_IMAGE
    flow = studio.data("POST", FLOWS)["id"]
    theirs = other.refused("GET", f"{IMAGES}/resolve/@last?flowId={flow}")
    assert theirs == (404, "Flow not found")
