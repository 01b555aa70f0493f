"""Presets on a real MongoDB: versions, overrides, what the feed tells, and the seeded ones."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import cast
from uuid import uuid4

import pytest

from schemas.common import now
from schemas.presets import Preset
from services.broker import Publisher
from services.errors import InvalidRequest, NotFound
from services.library.feed import Feed
from services.library.presets import Presets
from services.library.publication import Publication
from services.library.seeded import SEEDED, seed
from services.mongo import Mongo
from services.settings import Settings
from tests.connected.library_parts import library_database, uploaded
from tests.connected.queue_parts import RememberingPublisher

pytestmark = pytest.mark.connected

POSTER = Preset(slug="poster", name="Poster", prompt="a blue star")
EXAMPLE = Preset(slug="example_01", name="Our Example", prompt="a green heart")


@pytest.fixture(scope="module")
async def mongo(stack: Settings) -> AsyncIterator[Mongo]:
    async with library_database(stack) as mongo:
        await seed(mongo)
        yield mongo


@pytest.fixture
def presets(mongo: Mongo) -> Presets:
    return Presets(mongo, Feed(mongo))


@pytest.fixture
def project() -> str:
    return f"test-{uuid4()}"


def reworded(preset: Preset, prompt: str) -> Preset:
    return preset.model_copy(update={"prompt": prompt})


async def told(mongo: Mongo, project: str) -> list[tuple[str, str, int]]:
    """What the feed says of the project: kind, slug, version."""
    kafka = RememberingPublisher()
    await Publication(mongo, cast(Publisher, kafka)).publish()
    events = [json.loads(value) for _, key, value in kafka.sent if key == project]
    return [
        (event["type"].split(".")[-2], event["data"]["slug"], event["data"]["version"])
        for event in events
    ]


async def test_a_seeded_preset_belongs_to_all_and_a_project_s_own_hides_it(
    presets: Presets, project: str
) -> None:
    before = await presets.ls(project)
    saved = await presets.save(project, EXAMPLE)

    assert [preset.slug for preset in before] == sorted(preset.slug for preset in SEEDED)
    assert saved.created
    assert saved.preset.version == 2, "above the version that it hides"
    assert (await presets.ls(project))[0].name == "Our Example"
    assert (await presets.get("another", "example_01")).name == "Example Preset"
    assert (await presets.get(project, "example_01", version=1)).name == "Example Preset"
    assert await presets.delete(project, "example_01") == saved.preset
    assert (await presets.get(project, "example_01")).name == "Example Preset"


async def test_every_version_is_kept_and_the_feed_tells_of_each(
    mongo: Mongo, presets: Presets, project: str
) -> None:
    first = await presets.save(project, POSTER)
    same = await presets.save(project, POSTER)
    second = await presets.save(project, reworded(POSTER, "a red star"))
    await presets.delete(project, "poster")
    third = await presets.save(project, POSTER)

    assert (first.created, second.created, third.created) == (True, False, True)
    assert same.preset == first.preset
    versions = [await presets.get(project, "poster", version) for version in (1, 2, 3)]
    assert [preset.prompt for preset in versions] == ["a blue star", "a red star", "a blue star"]
    assert await presets.get(project, "poster") == third.preset
    assert await told(mongo, project) == [
        ("saved", "poster", 1),
        ("saved", "poster", 2),
        ("deleted", "poster", 2),
        ("saved", "poster", 3),
    ]


async def test_ten_writers_at_two_processes_make_ten_versions(mongo: Mongo, project: str) -> None:
    apis = Presets(mongo, Feed(mongo)), Presets(mongo, Feed(mongo))
    asked = [reworded(POSTER, f"{count} stars") for count in range(10)]

    saved = await asyncio.gather(*(apis[n % 2].save(project, each) for n, each in enumerate(asked)))

    assert sorted(each.preset.version for each in saved) == list(range(1, 11))
    assert [each.created for each in saved].count(True) == 1
    assert await told(mongo, project) == [("saved", "poster", version) for version in range(1, 11)]
    assert (await apis[0].get(project, "poster")).version == 10


async def test_other_projects_presets_are_not_there(presets: Presets, project: str) -> None:
    await presets.save("another", reworded(POSTER, "theirs"))

    for looking in (presets.get(project, "poster"), presets.get(project, "poster", 1)):
        with pytest.raises(NotFound, match="Preset not found"):
            await looking
    with pytest.raises(NotFound):
        await presets.delete(project, "poster")


async def test_what_belongs_to_all_is_not_deleted(presets: Presets, project: str) -> None:
    with pytest.raises(InvalidRequest, match="belongs to all"):
        await presets.delete(project, "example_01")


async def test_a_cover_is_a_picture_of_the_project_and_shows_while_it_is_there(
    mongo: Mongo, presets: Presets, project: str
) -> None:
    image = await uploaded(mongo, project)
    theirs = await uploaded(mongo, "another")
    covered = POSTER.model_copy(update={"cover_image_id": image.id})

    saved = await presets.save(project, covered)

    assert await presets.covers(project, (saved.preset,)) == {image.id}
    for missing in (theirs.id, uuid4()):
        with pytest.raises(InvalidRequest, match="Image not found"):
            await presets.save(project, POSTER.model_copy(update={"cover_image_id": missing}))
    await mongo.images.update_one({"_id": image.id}, {"$set": {"marks.deleted_at": now()}})
    assert await presets.covers(project, (saved.preset,)) == set()


async def test_seeding_again_changes_nothing_and_a_new_text_is_a_new_version(
    mongo: Mongo, presets: Presets, project: str
) -> None:
    slug = f"s-{uuid4().hex[:8]}"
    first = Preset(slug=slug, name="Seeded", prompt="a red circle")
    await asyncio.gather(*(seed(mongo, (first,)) for _ in range(4)))
    own = await presets.save(project, reworded(first, "our circle"))

    await seed(mongo, (reworded(first, "a better circle"),))

    assert own.preset.version == 2
    assert (await presets.get("another", slug)).version == 3, "above every project's own"
    assert (await presets.get("another", slug)).prompt == "a better circle"
    assert await presets.get(project, slug) == own.preset
    assert await mongo.preset_versions.count_documents({"slug": slug}) == 3
