"""A retry is a new run of the same job: begun once, from the pictures of today."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from schemas.common import now
from schemas.events import COMMANDS, GenerationRequested
from schemas.jobs import FirstAsked, Idempotency, Job, Reference, Status
from services.admission import Admission, Admitted
from services.errors import (
    GenerationNotFound,
    IdempotencyMismatch,
    ImageNotFound,
    InvalidRequest,
    StillRunning,
)
from services.mongo import Mongo
from services.outbox import Outbox
from services.reruns import Changes
from services.settings import OutboxSettings, Settings
from tests.connected.library_parts import (
    admission_of,
    admitted,
    completed,
    failed,
    library_database,
    uploaded,
    wish,
)
from tests.connected.projection_parts import stored_job
from tests.connected.queue_parts import RememberingPublisher

pytestmark = pytest.mark.connected

HERO = "@hero"
AS_BEFORE = Changes()


@pytest.fixture(scope="module")
async def mongo(migrated: Settings) -> AsyncIterator[Mongo]:
    async with library_database(migrated) as mongo:
        yield mongo


@pytest.fixture
def project() -> str:
    return f"test-{uuid4()}"


@pytest.fixture
def publisher() -> RememberingPublisher:
    return RememberingPublisher()


@pytest.fixture
def admission(mongo: Mongo, publisher: RememberingPublisher) -> Admission:
    return admission_of(mongo, publisher)


async def ended(mongo: Mongo, admission: Admission, project: str, **facts: Any) -> Job:
    job = await admitted(admission, project, wish(**facts))
    await failed(mongo, job)
    return await stored_job(mongo, job.id)


async def again(admission: Admission, job: Job, changes: Changes = AS_BEFORE, **key: Any) -> Job:
    (rerun,) = (await admission.rerun(job, changes, **key)).jobs
    return rerun


def key_of(project: str, sha: str = "a") -> Idempotency:
    return Idempotency(
        scope=f"{project}::POST /generations/x/retry",
        key="same",
        request_sha256=sha * 64,
        expires_at=now() + timedelta(days=1),
    )


def commands(publisher: RememberingPublisher, job: UUID) -> list[Any]:
    sent = [COMMANDS.validate_json(value) for _, key, value in publisher.sent if key == str(job)]
    return [command for command in sent if isinstance(command, GenerationRequested)]


async def test_a_new_run_of_the_same_job_is_pending_and_asked_for(
    mongo: Mongo, admission: Admission, publisher: RememberingPublisher, project: str
) -> None:
    job = await ended(mongo, admission, project, estimated_seconds=9.0)

    rerun = await again(admission, job, Changes(estimated_seconds=2.5))

    stored = await stored_job(mongo, job.id)
    assert (stored.status, stored.run_number) == (Status.PENDING, 2)
    assert stored.run not in (job.run, job.id)
    assert stored.model_copy(update={"published": False}) == rerun
    assert stored.spec == job.spec.model_copy(update={"seed": stored.spec.seed})
    assert stored.spec.seed != job.spec.seed
    assert stored.estimated_seconds == 2.5
    assert stored.requested_at >= job.created_at == stored.created_at
    _, command = commands(publisher, job.id)
    assert (command.data.jobs[0].run_id, command.data.jobs[0].run_number) == (stored.run, 2)
    assert command.data.jobs[0].spec == stored.spec


async def test_the_last_good_picture_stays_until_there_is_a_new_one(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    job = await admitted(admission, project, wish(alias=HERO))
    image = await completed(mongo, job)
    rerun = await again(admission, await stored_job(mongo, job.id))
    assert output(await stored_job(mongo, job.id)) == image

    await failed(mongo, rerun)
    assert output(await stored_job(mongo, job.id)) == image
    rerun = await again(admission, await stored_job(mongo, job.id))
    newer = await completed(mongo, rerun)

    assert output(await stored_job(mongo, job.id)) == newer
    assert await mongo.images.count_documents({"job_id": job.id}) == 2


def output(job: Job) -> UUID | None:
    return job.output.pictures[0].image_id if job.output else None


async def test_of_retries_at_once_one_wins(mongo: Mongo, project: str) -> None:
    apis = admission_of(mongo), admission_of(mongo)
    job = await ended(mongo, apis[0], project)

    ends = await asyncio.gather(
        *(again(apis[n % 2], job) for n in range(20)), return_exceptions=True
    )

    assert [type(end) for end in ends].count(StillRunning) == 19
    (winner,) = [end for end in ends if isinstance(end, Job)]
    assert (await stored_job(mongo, job.id)).run == winner.run


async def test_what_has_not_ended_is_not_begun_again(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    job = await admitted(admission, project, wish())

    with pytest.raises(StillRunning):
        await again(admission, job)

    assert (await stored_job(mongo, job.id)).run == job.run


async def test_the_same_key_begins_one_run(mongo: Mongo, project: str) -> None:
    apis = admission_of(mongo), admission_of(mongo)
    job = await ended(mongo, apis[0], project)

    async def retry(api: Admission) -> Admitted:
        return await api.rerun(job, AS_BEFORE, idempotency=key_of(project))

    answers = await asyncio.gather(*map(retry, apis * 10))
    later = await apis[0].rerun(
        await stored_job(mongo, job.id), AS_BEFORE, idempotency=key_of(project)
    )

    assert len({answer.jobs[0].run for answer in (*answers, later)}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert later.replayed
    with pytest.raises(IdempotencyMismatch):
        await apis[1].rerun(
            await stored_job(mongo, job.id), AS_BEFORE, idempotency=key_of(project, "b")
        )


async def test_a_key_of_an_earlier_retry_is_remembered_too(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    job = await ended(mongo, admission, project)
    await failed(mongo, await again(admission, job, idempotency=key_of(project)))
    second = await again(admission, await stored_job(mongo, job.id))
    await failed(mongo, second)

    replayed = await again(admission, await stored_job(mongo, job.id), idempotency=key_of(project))

    assert replayed.run == second.run, "as it is now, and no third run"


async def test_what_was_asked_first_under_a_key_is_kept_through_all_retries(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    asked = wish(aspect_ratio="1:1")
    (job,) = (await admission.submit(project, (asked,), idempotency=key_of(project))).jobs
    for prompt in ("a blue square", "a green star"):
        await failed(mongo, await stored_job(mongo, job.id))
        changes = Changes(prompt=prompt, aspect_ratio="2:1")
        await again(admission, await stored_job(mongo, job.id), changes)

    stored = await stored_job(mongo, job.id)

    assert stored.first == FirstAsked(spec=job.spec, aspect_ratio="1:1")
    assert (stored.spec.prompt, stored.aspect_ratio) == ("a green star", "2:1")


async def test_prompt_size_and_seed_may_change(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    job = await ended(mongo, admission, project)
    other = Changes(prompt="a blue square", seed=7, width=128, height=64, aspect_ratio="2:1")

    spec = (await again(admission, job, other)).spec

    assert (spec.prompt, spec.seed, spec.width, spec.height) == ("a blue square", 7, 128, 64)
    assert (await stored_job(mongo, job.id)).aspect_ratio == "2:1"


@pytest.mark.parametrize("wrong", [Changes(prompt=" "), Changes(width=12)])
async def test_a_change_that_no_model_can_do_begins_nothing(
    mongo: Mongo, admission: Admission, project: str, wrong: Changes
) -> None:
    job = await ended(mongo, admission, project)

    with pytest.raises(InvalidRequest):
        await again(admission, job, wrong)

    assert (await stored_job(mongo, job.id)).run == job.run


async def test_names_lead_to_the_pictures_of_today(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    first = await admitted(admission, project, wish(flow_alias=HERO, new_flow=True))
    await completed(mongo, first)
    file = await uploaded(mongo, project)
    asked = wish("@hero", flow_id=first.flow_id, references=(str(file.id),))
    job = await admitted(admission, project, asked)
    await completed(mongo, job)
    second = await admitted(admission, project, wish(flow_alias=HERO, flow_id=first.flow_id))
    image = await completed(mongo, second)

    rerun = await again(admission, await stored_job(mongo, job.id))

    assert rerun.spec.references == (
        Reference(image_id=file.id),
        Reference(image_id=image, alias=HERO),
    )


async def test_a_retry_is_not_made_from_its_own_picture(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    first = await admitted(admission, project, wish(flow_alias=HERO, new_flow=True))
    image = await completed(mongo, first)
    job = await admitted(admission, project, wish("@hero", flow_alias=HERO, flow_id=first.flow_id))
    await completed(mongo, job)

    rerun = await again(admission, await stored_job(mongo, job.id))

    assert rerun.spec.references == (Reference(image_id=image, alias=HERO),)


async def test_a_name_that_is_gone_leads_where_it_led(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    first = await admitted(admission, project, wish(alias=HERO))
    image = await completed(mongo, first)
    job = await admitted(admission, project, wish("@hero"))
    await completed(mongo, job)
    await mongo.aliases.delete_one({"project": project})

    rerun = await again(admission, await stored_job(mongo, job.id))

    assert rerun.spec.references == (Reference(image_id=image, alias=HERO),)


async def test_another_prompt_has_its_own_names(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    await completed(mongo, await admitted(admission, project, wish(alias="@a")))
    image = await completed(mongo, await admitted(admission, project, wish(alias="@b")))
    job = await admitted(admission, project, wish("@a"))
    await completed(mongo, job)
    job = await stored_job(mongo, job.id)

    with pytest.raises(ImageNotFound):
        await again(admission, job, Changes(prompt="@c"))
    rerun = await again(admission, job, Changes(prompt="@b"))

    assert rerun.spec.references == (Reference(image_id=image, alias="@b"),)


async def test_a_retry_waits_for_the_retry_of_what_it_is_made_from(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    first = await admitted(admission, project, wish(alias=HERO))
    job = await admitted(admission, project, wish("@hero"))
    assert job.after == (first.run,)
    await failed(mongo, first)
    await failed(mongo, job)  # as one is that waited in vain

    with pytest.raises(ImageNotFound):
        await again(admission, await stored_job(mongo, job.id))
    first_again = await again(admission, await stored_job(mongo, first.id))
    rerun = await again(admission, await stored_job(mongo, job.id))

    assert rerun.after == (first_again.run,)
    assert rerun.spec.references[0].job_id == first.id


async def test_a_deleted_job_is_not_begun_again(
    mongo: Mongo, admission: Admission, project: str
) -> None:
    job = await ended(mongo, admission, project)
    await mongo.jobs.update_one({"_id": job.id}, {"$set": {"deleted_at": now()}})

    with pytest.raises(GenerationNotFound):
        await again(admission, job)


async def test_a_run_that_nobody_was_told_of_is_sent_by_the_outbox(
    mongo: Mongo, project: str
) -> None:
    admission = admission_of(mongo)
    jobs = [await ended(mongo, admission, project, batch_id=UUID(int=1)) for _ in range(2)]
    silent = admission_of(mongo, RememberingPublisher(outages=[TimeoutError(), TimeoutError()]))
    reruns = [await again(silent, job) for job in jobs]
    heard = RememberingPublisher()

    await Outbox(mongo, admission_of(mongo, heard), OutboxSettings(after=timedelta())).republish()

    for rerun in reruns:
        (command,) = commands(heard, rerun.id)
        assert [each.run_id for each in command.data.jobs] == [rerun.run]


async def test_the_mark_of_an_earlier_command_is_not_the_next_runs(
    mongo: Mongo, publisher: RememberingPublisher, project: str
) -> None:
    """The API marks a little later; a retry may have begun by then."""
    api = admission_of(mongo)
    job = await admitted(api, project, wish())
    await failed(mongo, job)
    silent = admission_of(mongo, RememberingPublisher(outages=[TimeoutError()]))
    rerun = await again(silent, await stored_job(mongo, job.id))

    assert api.dispatch.marking is not None
    await api.dispatch.marking

    stored = await stored_job(mongo, job.id)
    assert (stored.run, stored.published) == (rerun.run, False)
