"""Whatever begins a run is told to the estimates, and what is only answered again is not."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest

from schemas.jobs import Job
from services.estimates import Estimates
from services.settings import Settings
from tests.connected.studio_parts import GENERATIONS, PROMPT, Studio, new_studio, studio_api
from tests.connected.test_stale import HERO, Flow

pytestmark = pytest.mark.connected


@pytest.fixture
async def studio(migrated: Settings) -> AsyncIterator[Studio]:
    async with studio_api(migrated) as api:
        yield await new_studio(api, migrated)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The runs that the estimates are told of."""
    runs: list[UUID] = []

    def admitted(_: Estimates, jobs: Sequence[Job]) -> None:
        runs.extend(job.run for job in jobs)

    monkeypatch.setattr(Estimates, "admitted", admitted)
    return runs


async def test_a_submit_counts_and_its_replay_does_not(studio: Studio, counted: list[UUID]) -> None:
    again = {"json": {"prompt": PROMPT}, "headers": {"idempotency-key": "one"}}

    first = studio.data("POST", GENERATIONS, **again)
    second = studio.data("POST", GENERATIONS, **again)

    assert first["id"] == second["id"]
    assert counted == [UUID(first["id"])]


async def test_a_retry_and_a_refresh_count(studio: Studio, counted: list[UUID]) -> None:
    flow = Flow(studio)
    hero, other = await flow.made(flowAlias=HERO), await flow.made()
    scene = await flow.made(HERO)
    flow.name(hero=await flow.picture(other))
    counted.clear()

    studio.data("POST", f"{GENERATIONS}/{hero}/retry")
    flow.refresh()

    assert counted == [(await flow.job(each)).run for each in (hero, scene)]
