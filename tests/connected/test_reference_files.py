"""A run's references become files when it runs: whole, or a reason why there are none."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from schemas.common import now
from schemas.images import Image, ImageSource, Picture
from schemas.jobs import Reference
from schemas.queue import RowState
from services.cancels import Cancels
from services.mongo import Mongo
from services.settings import Settings
from tests.conditions import until
from tests.connected.queue_parts import SPEC, completed, make_row, own_database
from tests.connected.test_fulfilment import World

pytestmark = pytest.mark.connected


@pytest.fixture
async def world(stack: Settings) -> AsyncIterator[World]:
    async with own_database(stack) as mongo:
        yield World(mongo)


async def brought(world: World, content: bytes, **marks: Any) -> UUID:
    """An uploaded picture of the library."""
    image = uuid4()
    picture = Picture(
        image_id=image,
        relative_path=f"uploads/{image}.png",
        sha256="0" * 64,
        width=8,
        height=8,
        bytes=len(content),
    )
    document = Image(id=image, project="demo", source=ImageSource.UPLOADED, picture=picture)
    await world.mongo.images.insert_one(document.model_dump(by_alias=True) | {"marks": marks})
    world.store.objects[picture.relative_path] = content
    return image


async def purge(mongo: Mongo, image: UUID) -> None:
    await mongo.images.replace_one(
        {"_id": image}, {"project": "demo", "marks": {"purged_at": now()}}
    )


def made_from(*references: Reference) -> dict[str, Any]:
    return {"spec": SPEC.model_copy(update={"references": references})}


def failure(world: World, job: UUID) -> tuple[str, str]:
    data = world.publisher.events(job)[-1].model_dump()["data"]
    return data["reason"], data["message"]


async def test_the_engine_gets_the_files_in_the_order_of_the_references(world: World) -> None:
    one, other = await brought(world, b"one"), await brought(world, b"other")
    references = [Reference(image_id=image) for image in (other, one)]

    await world.fulfil(await world.lease(**made_from(*references)))

    assert world.engine.references == (b"other", b"one")


async def test_a_picture_that_was_deleted_softly_still_steers(world: World) -> None:
    image = await brought(world, b"one", deleted_at=now())

    await world.fulfil(await world.lease(**made_from(Reference(image_id=image))))

    assert world.engine.references == (b"one",)


async def test_a_job_that_was_waited_for_gives_its_first_picture(world: World) -> None:
    row = make_row()
    event = completed(row)
    outcome = {"type": event.type, "event": event.encode(), "decided_at": now()}
    done = row.model_copy(update={"state": RowState.DONE}).model_dump(by_alias=True)
    await world.mongo.queue.insert_one(done | {"outcome": outcome})
    world.store.objects[event.data.images[0].relative_path] = b"first"

    await world.fulfil(await world.lease(**made_from(Reference(job_id=row.job))))

    assert world.engine.references == (b"first",)


@pytest.mark.parametrize("when", ["before", "between"])
async def test_a_purged_reference_ends_the_run_with_a_reason(world: World, when: str) -> None:
    """Before the run, or between its row and its object."""
    image = await brought(world, b"one")
    world.store.objects.clear()
    if when == "before":
        await purge(world.mongo, image)
    lease = await world.lease(**made_from(Reference(image_id=image)))

    await world.fulfil(lease)

    assert failure(world, lease.row.job) == (
        "reference_gone",
        "A picture that this one is made from was purged.",
    )
    assert not world.engine.began


async def test_an_object_store_that_is_away_is_waited_for(world: World) -> None:
    image = await brought(world, b"one")
    world.store.refusals = 2

    await world.fulfil(await world.lease(**made_from(Reference(image_id=image))))

    assert world.engine.references == (b"one",)


async def test_a_run_is_cancelled_while_its_references_are_waited_for(world: World) -> None:
    image = await brought(world, b"one")
    world.store.here.clear()
    lease = await world.lease(**made_from(Reference(image_id=image)))
    task = asyncio.create_task(world.fulfil(lease))
    await until(lambda: "started" in world.publisher.kinds(lease.row.job))

    await Cancels(world.mongo).request(lease.row.id, lease.row.job, "demo", "changed my mind")
    await world.leases.watch_cancels()
    await task

    assert world.publisher.kinds(lease.row.job)[-1] == "cancelled"
    assert not world.engine.began
