"""What a picture is made from: resolved once at submit, waited for where it is still pending."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from schemas.jobs import Dialect, Job, Reference, ReferenceRole
from schemas.queue import RowState
from services.admission import Admission
from services.decisions import Decisions
from services.errors import ImageNotFound, InvalidRequest, ReferenceGone
from services.library.leads import Leads, Scope
from services.library.references import MOST
from services.library.sources import pictures_of
from services.mongo import Mongo
from services.queue import Queue
from services.settings import Settings
from services.successors import Successors
from tests.connected import queue_parts
from tests.connected.library_parts import (
    admission_of,
    admitted,
    begun_flow,
    completed,
    failed,
    library_database,
    uploaded,
    wish,
)
from tests.connected.projection_parts import stored_job
from tests.connected.queue_parts import make_row

pytestmark = pytest.mark.connected

HERO = "@hero"


@pytest.fixture(scope="module")
async def mongo(migrated: Settings) -> AsyncIterator[Mongo]:
    async with library_database(migrated) as mongo:
        yield mongo


@pytest.fixture
def project() -> str:
    return f"test-{uuid4()}"


@pytest.fixture
def admission(mongo: Mongo) -> Admission:
    return admission_of(mongo)


def references(job: Job) -> list[UUID | None]:
    return [reference.image_id for reference in job.spec.references]


async def hide(mongo: Mongo, image: UUID, job: Job) -> None:
    """As a deletion does."""
    await mongo.images.update_one({"_id": image}, {"$set": {"marks.deleted_at": job.created_at}})


async def test_ids_and_names_lead_to_pictures(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    image = await completed(mongo, await admitted(admission, project, wish(alias=HERO)))
    other = await uploaded(mongo, project)

    job = await admitted(
        admission, project, wish("like @hero in @upload", references=(str(other.id), HERO))
    )

    assert job.spec.references == (
        Reference(image_id=other.id),
        Reference(image_id=image, alias=HERO),
    ), "each picture once"
    assert job.after == ()
    assert (await stored_job(mongo, job.id)).spec == job.spec


async def test_a_name_that_is_given_anew_changes_no_queued_job(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    first = await admitted(admission, project, wish(flow_alias=HERO, new_flow=True))
    image = await completed(mongo, first)
    waiting = await admitted(admission, project, wish("@hero", flow_id=first.flow_id))

    second = await admitted(admission, project, wish(flow_alias=HERO, flow_id=first.flow_id))
    await completed(mongo, second)

    assert references(await stored_job(mongo, waiting.id)) == [image]


async def test_a_pending_one_is_waited_for_and_found_when_it_is_there(
    mongo: Mongo, migrated: Settings, admission: Admission, project: str
) -> None:
    first = await admitted(admission, project, wish(alias=HERO))

    second = await admitted(admission, project, wish("@hero"))

    assert second.after == (first.run,)
    assert second.spec.references == (Reference(job_id=first.id, run_id=first.run, alias=HERO),)
    queue = Queue(mongo, migrated.generator)
    made = make_row(id=first.run, job=first.id, project=project, spec=first.spec)
    waits = make_row(id=second.run, job=second.id, project=project, after=second.after)
    await queue.enqueue([waits, made])
    lease = await queue.claim()
    assert lease is not None
    assert lease.row.id == first.run
    event = queue_parts.completed(made)
    await queue_parts.decided(Decisions(mongo), lease, event)
    await Successors(mongo).settle_run(first.run)
    row = await mongo.queue.find_one({"_id": second.run})
    assert row is not None
    assert row["state"] == RowState.READY
    (source,) = await pictures_of(mongo, second.spec)
    assert source.picture == event.data.images[0], "before the projector has seen it"
    assert source.reference.image_id == event.data.images[0].image_id


async def test_a_picture_made_long_ago_is_found_without_its_row(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    first = await admitted(admission, project, wish(alias=HERO))
    second = await admitted(admission, project, wish("@hero"))

    image = await completed(mongo, first)

    (source,) = await pictures_of(mongo, second.spec)
    assert source.picture.image_id == image


async def test_one_wish_of_a_submit_may_be_made_from_another(
    admission: Admission, project: str
) -> None:
    wishes = [wish(alias=HERO), wish("@hero at night"), wish("a dog")]

    first, second, third = (await admission.submit(project, wishes)).jobs

    assert (second.after, third.after) == ((first.run,), ())


async def test_technical_goes_before_flow_and_flow_before_project(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    in_project = await completed(mongo, await admitted(admission, project, wish(alias=HERO)))
    first = await admitted(admission, project, wish(flow_alias=HERO, new_flow=True))
    in_flow = await completed(mongo, first)
    file = await uploaded(mongo, project)
    leads = Leads(mongo)

    found = [
        await leads.resolve(project, name, flow)
        for name in (HERO, "@last", "@first", "@upload", "@nobody")
        for flow in (None, first.flow_id)
    ]

    assert [lead and (lead.scope, lead.image_id) for lead in found] == [
        (Scope.PROJECT, in_project),
        (Scope.FLOW, in_flow),
        *[(Scope.TECHNICAL, in_flow)] * 2,
        *[(Scope.TECHNICAL, in_project)] * 2,
        *[(Scope.TECHNICAL, file.id)] * 2,
        None,
        None,
    ]


@pytest.mark.parametrize(
    "asked",
    [
        wish("@nobody"),
        wish(references=("@nobody",)),
        wish(references=(str(uuid4()),)),
        wish(f"@{'a' * 65}"),
    ],
)
async def test_an_unknown_one_is_not_found(
    mongo: Mongo, admission: Admission, project: str, asked: Any
) -> None:
    with pytest.raises(ImageNotFound, match="Image not found"):
        await admitted(admission, project, asked)

    assert await mongo.jobs.count_documents({"project": project}) == 0


async def test_another_projects_pictures_are_none(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    theirs = await uploaded(mongo, "somebody-else")

    with pytest.raises(ImageNotFound):
        await admitted(admission, project, wish(references=(str(theirs.id),)))


async def test_a_deleted_picture_is_none(mongo: Mongo, admission: Admission, project: str) -> None:
    job = await admitted(admission, project, wish(alias=HERO))
    image = await completed(mongo, job)
    await hide(mongo, image, job)

    for asked in (wish("@hero"), wish("@last"), wish(references=(str(image),))):
        with pytest.raises(ImageNotFound):
            await admitted(admission, project, asked)


async def test_a_job_that_ended_without_pictures_is_none(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    await failed(mongo, await admitted(admission, project, wish(alias=HERO)))

    with pytest.raises(ImageNotFound):
        await admitted(admission, project, wish("@hero"))


async def test_other_dialects_prompts_are_plain_text(admission: Admission, project: str) -> None:
    asked = wish("by @somebody").model_copy(update={"dialect": Dialect.BLOG})

    assert (await admitted(admission, project, asked)).spec.references == ()


async def test_at_most_eight(mongo: Mongo, admission: Admission, project: str) -> None:
    images = [str((await uploaded(mongo, project)).id) for _ in range(MOST + 1)]

    job = await admitted(admission, project, wish(references=(*images[:MOST], images[0])))
    assert len(job.spec.references) == MOST
    with pytest.raises(InvalidRequest):
        await admitted(admission, project, wish(references=tuple(images)))


async def test_a_role_stays_with_its_picture(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    image = await uploaded(mongo, project)
    both = tuple(Reference(image_id=image.id, role=role) for role in ReferenceRole)
    asked = wish()
    asked = asked.model_copy(
        update={"spec": asked.spec.model_copy(update={"references": both, "strength": 0.5})}
    )

    assert (await admitted(admission, project, asked)).spec.references == both


async def test_a_purged_picture_ends_its_run(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    image = await uploaded(mongo, project)
    job = await admitted(admission, project, wish(references=(str(image.id),)))
    await mongo.images.update_one(
        {"_id": image.id}, {"$unset": {"picture": ""}, "$set": {"marks": {"purged_at": 1}}}
    )

    with pytest.raises(ReferenceGone):
        await pictures_of(mongo, job.spec)


async def test_a_flows_name_is_unknown_outside_of_it(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    first = await admitted(admission, project, wish(flow_alias=HERO, new_flow=True))
    await completed(mongo, first)

    for asked in (wish("@hero"), wish("@hero", flow_id=await begun_flow(mongo, project))):
        with pytest.raises(ImageNotFound):
            await admitted(admission, project, asked)
