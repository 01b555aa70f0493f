"""What is out of date in a flow, and making just that again, over HTTP on a real MongoDB."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from starlette.testclient import TestClient

from schemas.jobs import Job, PresetVersion, Status
from schemas.presets import Preset
from services.engine.catalogue import Catalogue
from services.engine.files import digest
from services.mongo import Mongo
from services.settings import ROOT, Settings
from tests.connected import library_parts
from tests.connected.projection_parts import stored_job
from tests.connected.studio_parts import FLOWS, GENERATIONS, IMAGES, Studio, new_studio, studio_api

pytestmark = pytest.mark.connected

Api = tuple[TestClient, Mongo]
HERO, ROOM = "@hero", "@room"
MODEL = Catalogue.load(ROOT / "models" / "models.yaml").default
DIGEST = digest(ROOT / "models" / MODEL.source)
NOBODY_S = str(uuid4())


class Flow:
    """One flow of a project, in which pictures are made from pictures."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.id = str(studio.data("POST", FLOWS)["id"])
        self.path = f"{FLOWS}/{self.id}"

    async def made(self, *references: str, **body: Any) -> str:
        """A generation that has its picture."""
        asked = self.studio.generation(
            flowId=self.id, referenceImages=list(references), seed=7, **body
        )
        await self.end(asked["id"])
        return str(asked["id"])

    async def end(self, generation: str, **facts: Any) -> str:
        job = await self.job(generation)
        told = {"model": job.spec.model, "model_sha256": DIGEST, "gpu_seconds": 2.0, **facts}
        return str(await library_parts.completed(self.studio.mongo, job, **told))

    async def job(self, generation: str) -> Job:
        return await stored_job(self.studio.mongo, UUID(generation))

    async def picture(self, generation: str) -> str:
        output = (await self.job(generation)).output
        assert output is not None
        return str(output.pictures[0].image_id)

    def name(self, **images: str) -> None:
        named = {f"@{name}": image for name, image in images.items()}
        self.studio.data("PUT", f"{self.path}/aliases", json={"aliases": named})

    def stale(self) -> dict[str, list[dict[str, Any]]]:
        found = self.studio.data("GET", f"{self.path}/stale")["stale"]
        return {each["generationId"]: each["because"] for each in found}

    def refresh(self, **body: Any) -> dict[str, Any]:
        refreshed: dict[str, Any] = self.studio.data("POST", f"{self.path}/refresh", json=body)
        return refreshed


@pytest.fixture(scope="module")
async def api(migrated: Settings) -> AsyncIterator[Api]:
    async with studio_api(migrated) as api:
        yield api


@pytest.fixture
async def studio(api: Api, migrated: Settings) -> Studio:
    return await new_studio(api, migrated)


@pytest.fixture
def flow(studio: Studio) -> Flow:
    return Flow(studio)


async def test_a_flow_that_is_up_to_date_has_nothing_stale_and_nothing_to_refresh(
    flow: Flow,
) -> None:
    assert flow.stale() == {}
    first = await flow.made(flowAlias=HERO)
    await flow.made(HERO, await flow.picture(first))

    assert flow.stale() == {}
    nothing = {"generations": [], "estimatedSeconds": 0.0, "cost": 0.0}
    assert flow.refresh(dryRun=True) == {**nothing, "dryRun": True}
    assert flow.refresh() == {**nothing, "dryRun": False}


async def test_a_name_that_moves_outdates_what_was_made_from_it_and_what_came_of_that(
    flow: Flow,
) -> None:
    hero, other = await flow.made(flowAlias=HERO), await flow.made()
    scene = await flow.made(HERO, flowAlias=ROOM)
    detail = await flow.made(ROOM)
    was, now, room = [await flow.picture(each) for each in (hero, other, scene)]

    flow.name(hero=now)

    found = flow.stale()
    assert list(found) == [scene, detail]
    assert found[scene] == [{"kind": "alias", "name": HERO, "was": was, "is": now}]
    assert found[detail] == [{"kind": "alias", "name": ROOM, "was": room, "is": None}]


async def test_a_dry_run_prices_and_begins_nothing(flow: Flow) -> None:
    hero, other = await flow.made(flowAlias=HERO), await flow.made()
    scene = await flow.made(HERO)
    before = [(await flow.job(each)).run for each in (hero, other, scene)]
    flow.name(hero=await flow.picture(other))

    priced = flow.refresh(dryRun=True)

    assert priced["generations"] == [scene]
    assert priced["estimatedSeconds"] > 0
    assert (priced["cost"], priced["dryRun"]) == (0.0, True)
    assert [(await flow.job(each)).run for each in (hero, other, scene)] == before


async def test_a_refresh_begins_just_those_with_the_pictures_of_today_each_after_its_source(
    flow: Flow,
) -> None:
    hero, other = await flow.made(flowAlias=HERO), await flow.made()
    scene = await flow.made(HERO, flowAlias=ROOM)
    detail = await flow.made(ROOM)
    old = {each: await flow.picture(each) for each in (scene, detail)}
    flow.name(hero=await flow.picture(other))

    refreshed = flow.refresh()

    assert refreshed["generations"] == [scene, detail]
    jobs = {name: await flow.job(name) for name in (hero, other, scene, detail)}
    assert {name: job.run_number for name, job in jobs.items()} == {
        hero: 1,
        other: 1,
        scene: 2,
        detail: 2,
    }
    assert [job.spec.seed for job in jobs.values()] == [7] * 4
    (from_hero,) = jobs[scene].spec.references
    assert (str(from_hero.image_id), from_hero.alias) == (await flow.picture(other), HERO)
    (from_room,) = jobs[detail].spec.references
    assert (from_room.job_id, from_room.run_id) == (jobs[scene].id, jobs[scene].run)
    assert jobs[detail].after == (jobs[scene].run,)
    for name, picture in old.items():
        shown = flow.studio.data("GET", f"{GENERATIONS}/{name}")
        assert (shown["status"], shown["outputImageId"]) == ("pending", picture)
    assert flow.stale() == {}, "what is being made again is no more to be begun"


async def test_after_a_refresh_everything_is_up_to_date_and_the_old_pictures_are_there(
    flow: Flow,
) -> None:
    other = await flow.made(flowAlias=HERO), await flow.made()
    scene = await flow.made(HERO, flowAlias=ROOM)
    detail = await flow.made(ROOM)
    old = [await flow.picture(each) for each in (scene, detail)]
    flow.name(hero=await flow.picture(other[1]))
    flow.refresh()

    new = await flow.end(scene), await flow.end(detail)

    assert flow.stale() == {}
    for picture in (*old, *new):
        assert flow.studio.ask("GET", f"{IMAGES}/{picture}").status_code == 200
    assert flow.studio.data("GET", f"{GENERATIONS}/{detail}")["outputImageId"] == new[1]


async def test_a_run_that_fails_leaves_the_old_picture_out_of_date(flow: Flow) -> None:
    _, other = await flow.made(flowAlias=HERO), await flow.made()
    scene = await flow.made(HERO)
    flow.name(hero=await flow.picture(other))
    before = flow.stale()
    flow.refresh()

    await flow.studio.fail(scene)

    assert flow.stale() == before != {}
    assert flow.refresh()["generations"] == [scene]


async def test_what_was_made_from_a_picture_that_was_made_again_is_out_of_date(
    flow: Flow,
) -> None:
    hero = await flow.made()
    was = await flow.picture(hero)
    scene = await flow.made(was)
    flow.studio.data("POST", f"{GENERATIONS}/{hero}/retry")
    assert flow.stale() == {}, "not before there is another"

    now = await flow.end(hero)

    assert flow.stale() == {scene: [{"kind": "reference", "name": was, "was": was, "is": now}]}
    flow.refresh()
    assert str((await flow.job(scene)).spec.references[0].image_id) == now


async def test_a_reference_that_was_waited_for_is_known_by_the_picture_that_it_became(
    flow: Flow,
) -> None:
    hero = flow.studio.generation(flowId=flow.id, flowAlias=HERO)["id"]
    scene = flow.studio.generation(flowId=flow.id, referenceImages=[HERO])["id"]
    was = await flow.end(hero)
    await flow.end(scene)
    assert flow.stale() == {}

    flow.studio.data("POST", f"{GENERATIONS}/{hero}/retry")
    now = await flow.end(hero)

    assert flow.stale() == {scene: [{"kind": "alias", "name": HERO, "was": was, "is": now}]}


async def test_a_chain_that_hands_its_name_on_is_never_out_of_date(flow: Flow) -> None:
    for _ in range(3):
        await flow.made(
            *([HERO] if flow.studio.data("GET", flow.path)["aliases"] else []), flowAlias=HERO
        )

    assert flow.stale() == {}


async def test_pictures_of_other_files_of_the_model_are_out_of_date(flow: Flow) -> None:
    asked = flow.studio.generation(flowId=flow.id)["id"]
    await flow.end(asked, model_sha256="0" * 64)

    assert flow.stale() == {
        asked: [{"kind": "model", "name": MODEL.id, "was": "0" * 64, "is": DIGEST}]
    }
    assert flow.refresh()["generations"] == [asked]
    await flow.end(asked)
    assert flow.stale() == {}


async def test_a_preset_s_newer_version_outdates_and_is_what_a_refresh_uses(flow: Flow) -> None:
    mongo, project = flow.studio.mongo, flow.studio.project
    slug = f"poster-{uuid4().hex[:8]}"
    asked = flow.studio.generation(flowId=flow.id)["id"]
    await flow.end(asked, preset=PresetVersion(slug=slug, version=1))
    assert flow.stale() == {}, "nobody knows the preset"
    preset = Preset(project=project, slug=slug, version=2, name="Poster", prompt="a blue star")
    everybody_s = preset.model_copy(update={"project": None, "version": 5})
    await mongo.presets.insert_many([preset.model_dump(), everybody_s.model_dump()])

    assert flow.stale() == {asked: [{"kind": "preset", "name": slug, "was": "1", "is": "2"}]}
    flow.refresh()

    spec = (await flow.job(asked)).spec
    assert (spec.prompt, spec.preset) == ("a blue star", PresetVersion(slug=slug, version=2))
    assert (spec.width, spec.height, spec.seed) == (MODEL.default_size.width,) * 2 + (spec.seed,)


async def test_what_can_t_be_made_again_is_not_called_out_of_date(flow: Flow) -> None:
    upload = await flow.studio.uploaded()
    asked = flow.studio.generation(flowId=flow.id, referenceImages=[str(upload.id)])["id"]
    await flow.end(asked, model_sha256="0" * 64)
    assert list(flow.stale()) == [asked]

    flow.studio.data("DELETE", f"{IMAGES}/{upload.id}")

    assert flow.stale() == {}
    assert flow.refresh()["generations"] == []


async def test_a_deleted_generation_and_one_without_a_picture_are_left_out(flow: Flow) -> None:
    old = {"model_sha256": "0" * 64}
    gone, failed = (flow.studio.generation(flowId=flow.id)["id"] for _ in range(2))
    await flow.end(gone, **old)
    await flow.studio.fail(failed)
    flow.studio.data("DELETE", f"{GENERATIONS}/{gone}")

    assert flow.stale() == {}


async def test_a_circle_of_names_is_made_again_and_ends(flow: Flow) -> None:
    base, other = await flow.made(flowAlias="@a"), await flow.made(flowAlias="@b")
    left, right = await flow.made("@b"), await flow.made("@a")
    flow.name(a=await flow.picture(left), b=await flow.picture(right))

    refreshed = flow.refresh()

    assert refreshed["generations"] == [left, right]
    one, two = await flow.job(left), await flow.job(right)
    assert (one.after, two.after) == ((), (one.run,))
    assert {base, other}.isdisjoint(refreshed["generations"])


async def test_one_that_somebody_else_has_begun_is_waited_for_and_not_begun_twice(
    flow: Flow,
) -> None:
    first = flow.studio.generation(flowId=flow.id, flowAlias=HERO)["id"]
    await flow.end(first, model_sha256="0" * 64)
    scene = await flow.made(HERO)
    assert list(flow.stale()) == [first, scene]
    flow.studio.data("POST", f"{GENERATIONS}/{first}/retry")

    assert flow.refresh()["generations"] == []

    await flow.end(first)
    assert flow.refresh()["generations"] == [scene]


async def test_the_same_idempotency_key_refreshes_once(flow: Flow) -> None:
    asked = flow.studio.generation(flowId=flow.id)["id"]
    await flow.end(asked, model_sha256="0" * 64)
    sent = {"headers": {"idempotency-key": "once"}}

    first = flow.studio.ask("POST", f"{flow.path}/refresh", **sent)
    again = flow.studio.ask("POST", f"{flow.path}/refresh", **sent)

    assert (first.status_code, first.content) == (200, again.content)
    assert again.headers["idempotent-replayed"] == "true"
    job = await flow.job(asked)
    assert (job.run_number, job.status) == (2, Status.PENDING)


async def test_a_flow_that_is_not_there_is_not_found(
    flow: Flow, api: Api, migrated: Settings
) -> None:
    stranger = await new_studio(api, migrated)

    for studio, path in ((flow.studio, f"{FLOWS}/{NOBODY_S}"), (stranger, flow.path)):
        assert studio.refused("GET", f"{path}/stale") == (404, "Flow not found")
        assert studio.refused("POST", f"{path}/refresh") == (404, "Flow not found")


@pytest.mark.parametrize("body", [{"dryRun": "yes"}, {"dryRun": 1}, []])
def test_a_body_that_makes_no_sense_is_400(flow: Flow, body: object) -> None:
    assert flow.studio.refused("POST", f"{flow.path}/refresh", json=body)[0] == 400
