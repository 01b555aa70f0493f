"""Polls in a real MongoDB: whoever asks is checked first, and sees what is his."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from schemas.jobs import Job
from services.accounts import Keys
from services.errors import Unauthorized
from services.mongo import Mongo
from services.polls import Polls
from services.settings import Settings
from services.signing import Signer
from tests.connected.projection_parts import insert_job, projected_database

pytestmark = pytest.mark.connected


@pytest.fixture
async def mongo(stack: Settings) -> AsyncIterator[Mongo]:
    async with projected_database(stack) as mongo:
        yield mongo


@pytest.fixture
def keys(mongo: Mongo) -> Keys:
    return Keys(mongo, Signer("a master secret of tests"))


@pytest.fixture
def polls(mongo: Mongo, keys: Keys) -> Polls:
    return Polls(mongo, keys)


async def test_a_poll_tells_who_asks_and_shows_the_job(
    mongo: Mongo, keys: Keys, polls: Polls
) -> None:
    created = await keys.create("demo", scopes=("read",))
    job = await insert_job(mongo, owner="a user of it")

    caller, found = await polls.job(created.key, job.id)

    assert caller == await keys.authenticate(created.key)
    assert found == job


async def test_what_is_another_project_s_is_as_if_it_did_not_exist(
    mongo: Mongo, keys: Keys, polls: Polls
) -> None:
    created = await keys.create("demo")
    foreign = await insert_job(mongo, project="another")

    answers = [await polls.job(created.key, job) for job in (foreign.id, uuid4())]

    assert answers == [(await keys.authenticate(created.key), None)] * 2


async def test_without_a_good_key_no_job_is_shown_whether_it_exists_or_not(
    mongo: Mongo, keys: Keys, polls: Polls
) -> None:
    created, stopped = await keys.create("demo"), await keys.create("demo")
    job = await insert_job(mongo)
    await keys.revoke(stopped.id)
    altered = created.key[:-1] + ("a" if created.key[-1] != "a" else "b")
    unknown = f"dk_{'0' * 12}_{created.key[-43:]}"

    for text in (None, "", "dk_", altered, unknown, stopped.key, f" {created.key}"):
        for asked in (job.id, uuid4()):
            with pytest.raises(Unauthorized):
                await polls.job(text, asked)


async def test_polls_that_travel_together_get_each_its_own(
    mongo: Mongo, keys: Keys, polls: Polls
) -> None:
    projects = [f"project-{number}" for number in range(5)]
    created = [await keys.create(project) for project in projects]
    jobs = [await insert_job(mongo, project=project) for project in projects]
    pairs = [(key, job) for key in created for job in jobs]

    answers = await asyncio.gather(*(polls.job(key.key, job.id) for key, job in pairs))

    assert [caller.key_id for caller, _ in answers] == [key.id for key, _ in pairs]
    assert [found for _, found in answers] == [_seen(job, key.project) for key, job in pairs]


def _seen(job: Job, project: str) -> Job | None:
    return job if job.project == project else None
