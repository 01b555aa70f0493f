"""What a submit claims of a library: true under many at once, all of it or none."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from schemas.common import now
from schemas.jobs import Idempotency, Job
from schemas.library_events import AliasAssigned, FlowCreated
from services.admission import Admission
from services.errors import AliasTaken, FlowNotFound, InvalidRequest
from services.library.leads import Leads
from services.mongo import Mongo
from services.outbox import Outbox
from services.settings import OutboxSettings, Settings
from tests.connected.library_parts import (
    admission_of,
    admitted,
    begun_flow,
    completed,
    failed,
    library_database,
    wish,
)
from tests.connected.projection_parts import stored_job
from tests.connected.queue_parts import RememberingPublisher

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


async def image_of(mongo: Mongo, project: str, flow_id: UUID | None = None) -> UUID | None:
    lead = await Leads(mongo).resolve(project, HERO, flow_id)
    return lead.image_id if lead else None


async def told(mongo: Mongo, project: str) -> list[str]:
    rows = mongo.library_outbox.find({"project": project}).sort("sequence", 1)
    return [row["event"].decode() async for row in rows]


async def test_of_fifty_claims_at_two_apis_one_wins(mongo: Mongo, project: str) -> None:
    apis = admission_of(mongo), admission_of(mongo)

    ends = await asyncio.gather(
        *(admitted(apis[n % 2], project, wish(alias=HERO, new_flow=True)) for n in range(50)),
        return_exceptions=True,
    )

    winners = [end for end in ends if isinstance(end, Job)]
    assert len(winners) == 1
    assert [str(end) for end in ends if isinstance(end, AliasTaken)] == [
        "Alias already exists"
    ] * 49
    assert await mongo.jobs.count_documents({"project": project}) == 1
    assert await mongo.flows.count_documents({"project": project}) == 1
    lead = await Leads(mongo).resolve(project, HERO)
    assert lead is not None
    assert lead.pending == await stored_job(mongo, winners[0].id)
    assert len(await told(mongo, project)) == 2


async def test_fifty_flows_begin_at_two_apis_each_with_its_number(
    mongo: Mongo, project: str
) -> None:
    apis = admission_of(mongo), admission_of(mongo)

    jobs = await asyncio.gather(
        *(admitted(apis[n % 2], project, wish(new_flow=True)) for n in range(50))
    )

    assert len({job.flow_id for job in jobs}) == 50
    numbers = [row["sequence"] async for row in mongo.library_outbox.find({"project": project})]
    assert sorted(numbers) == list(range(1, 51))


async def test_a_name_leads_to_the_picture_once_there_is_one(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    job = await admitted(admission, project, wish(alias=HERO))
    assert await image_of(mongo, project) is None

    image = await completed(mongo, job)

    assert await image_of(mongo, project) == image
    with pytest.raises(AliasTaken):
        await admitted(admission, project, wish(alias=HERO))


async def test_a_job_that_failed_loses_its_name_to_the_next(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    await failed(mongo, await admitted(admission, project, wish(alias=HERO)))

    job = await admitted(admission, project, wish(alias=HERO))
    image = await completed(mongo, job)

    assert await image_of(mongo, project) == image


async def test_of_those_who_take_a_name_over_one_wins(mongo: Mongo, project: str) -> None:
    apis = admission_of(mongo), admission_of(mongo)
    await failed(mongo, await admitted(apis[0], project, wish(alias=HERO)))

    ends = await asyncio.gather(
        *(admitted(apis[n % 2], project, wish(alias=HERO)) for n in range(10)),
        return_exceptions=True,
    )

    assert [type(end) for end in ends].count(AliasTaken) == 9


async def test_a_flows_name_passes_on_when_the_next_has_a_picture(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    first = await admitted(admission, project, wish(flow_alias=HERO, new_flow=True))
    image = await completed(mongo, first)

    second = await admitted(admission, project, wish(flow_alias=HERO, flow_id=first.flow_id))

    assert await image_of(mongo, project, first.flow_id) == image
    assert await image_of(mongo, project) is None, "a flow's names are its own"
    newer = await completed(mongo, second)
    assert await image_of(mongo, project, first.flow_id) == newer


async def test_a_flow_of_another_project_is_none(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    theirs = await begun_flow(mongo, "somebody-else")

    with pytest.raises(FlowNotFound):
        await admitted(admission, project, wish(flow_id=theirs, alias=HERO))

    assert await mongo.jobs.count_documents({"project": project}) == 0
    assert await mongo.aliases.count_documents({"project": project}) == 0


async def test_a_flows_name_needs_a_flow(admission: Admission, project: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await admitted(admission, project, wish(flow_alias=HERO))

    assert refused.value.pointer == "/flow_alias"


async def test_of_several_wishes_all_are_admitted_or_none(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    with pytest.raises(AliasTaken):
        await admission.submit(project, [wish(alias="@a"), wish(alias=HERO), wish(alias=HERO)])

    assert await mongo.jobs.count_documents({"project": project}) == 0
    assert await mongo.aliases.count_documents({"project": project}) == 0


async def test_the_same_key_gets_its_own_names_again(
    admission: Admission, project: str, mongo: Mongo
) -> None:
    key = Idempotency(
        scope=f"{project}::POST /generations",
        key="same",
        request_sha256="a" * 64,
        expires_at=now().replace(year=2100),
    )
    other = admission_of(mongo)
    asked = wish(alias=HERO, new_flow=True)

    answers = await asyncio.gather(
        *(api.submit(project, (asked,), idempotency=key) for api in (admission, other) * 10)
    )

    assert len({answer.jobs[0].id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert await mongo.flows.count_documents({"project": project}) == 1


async def test_what_died_between_its_insert_and_its_command_is_sent_with_its_claims(
    mongo: Mongo, project: str
) -> None:
    silent = RememberingPublisher(outages=[TimeoutError()])
    asked = wish(alias=HERO, flow_alias="@scene", new_flow=True)
    job = await admitted(admission_of(mongo, silent), project, asked)
    heard = RememberingPublisher()
    outbox = Outbox(mongo, admission_of(mongo, heard), OutboxSettings(after=now() - now()))

    await outbox.republish()

    commands = [value for _, key, value in heard.sent if key == str(job.id)]
    assert len(commands) == 1
    assert b'"alias":"@hero"' in commands[0]
    assert b'"flow_alias":"@scene"' in commands[0]
    image = await completed(mongo, job)
    assert await image_of(mongo, project) == image


async def test_what_is_claimed_is_told_once(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    job = await admitted(admission, project, wish(alias=HERO, new_flow=True))

    flow, alias = await told(mongo, project)

    assert FlowCreated.model_validate_json(flow).data.flow_id == job.flow_id
    data = AliasAssigned.model_validate_json(alias).data
    assert (data.name, data.job_id, data.sequence) == (HERO, job.id, 2)
