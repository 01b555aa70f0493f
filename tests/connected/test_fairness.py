"""Projects share the GPUs by weight, hold no more than their cap, and nobody waits for ever."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import groupby

import pytest

from schemas.common import now
from schemas.queue import QueueRow
from services.claims import Claims
from services.engine.catalogue import Catalogue
from services.fairness import Fairness
from services.mongo import Mongo
from services.object_store import S3ObjectStore
from services.queue import Lease, Queue
from services.settings import ROOT, GeneratorSettings, Settings
from services.upkeep import Upkeep
from tests.connected.queue_parts import SPEC, make_row, own_database

pytestmark = pytest.mark.connected

CATALOGUE = Catalogue.load(ROOT / "models" / "models.yaml")
SETTINGS = GeneratorSettings(ageing=timedelta(minutes=1))


class Line:
    """A queue with its fairness, filled and served by hand."""

    def __init__(self, mongo: Mongo) -> None:
        self.mongo = mongo
        self.queue = Queue(mongo, SETTINGS)
        self.fairness = Fairness(mongo, CATALOGUE)
        self.claims = Claims(self.queue, self.fairness)

    async def join(self, project: str, count: int, lane: int = 0) -> list[QueueRow]:
        rows = [make_row(project=project, lane=lane) for _ in range(count)]
        tagged = await self.fairness.tag(rows)
        await self.queue.enqueue(tagged)
        return tagged

    async def serve(self, count: int) -> list[str]:
        served = []
        for _ in range(count):
            lease = await self.claims.next()
            assert lease is not None
            served.append(lease.row.project)
        return served


@pytest.fixture
async def line(migrated: Settings) -> AsyncIterator[Line]:
    async with own_database(migrated) as mongo:
        yield Line(mongo)


async def test_a_newcomer_does_not_wait_for_another_projects_backlog(line: Line) -> None:
    await line.join("big", 48)
    await line.serve(5)

    await line.join("small", 4)

    served = await line.serve(9)
    assert served.count("small") == 4
    assert max(len(list(run)) for _, run in groupby(served)) <= 2


@pytest.mark.parametrize(
    ("lane", "due_in", "is_next"),
    [
        pytest.param(0, -1, False, id="more urgent"),
        pytest.param(1, -1, False, id="as urgent"),
        pytest.param(2, -1, True, id="less urgent"),
        pytest.param(1, 60, True, id="in its backoff"),
    ],
)
async def test_a_newcomer_is_next_unless_something_as_urgent_is_due(
    line: Line, lane: int, due_in: int, is_next: bool
) -> None:
    due = now() + timedelta(seconds=due_in)
    await line.queue.enqueue([make_row(project="there", lane=lane, due=due)])

    assert await line.fairness.is_next(make_row(project="new", lane=1)) is is_next


async def test_a_project_of_twice_the_weight_gets_twice_as_much(line: Line) -> None:
    await line.fairness.set_share("heavy", weight=2.0, cap=None)
    await line.join("heavy", 30)
    await line.join("light", 30)

    served = await line.serve(30)

    assert 19 <= served.count("heavy") <= 21


async def test_costly_pictures_count_for_more(line: Line) -> None:
    for project, side, count in (("wide", 512, 10), ("narrow", 256, 20)):
        spec = SPEC.model_copy(update={"width": side, "height": side})
        rows = [make_row(project=project, spec=spec) for _ in range(count)]
        await line.queue.enqueue(await line.fairness.tag(rows))

    served = await line.serve(10)

    assert served.count("narrow") == 8, "four for each of four times the size"


async def test_a_project_that_was_idle_has_saved_up_nothing(line: Line) -> None:
    await line.join("busy", 30)
    await line.serve(20)
    await line.join("idle", 10)

    assert (await line.serve(10)).count("idle") in (5, 6)


async def test_a_run_whose_worker_died_before_it_was_charged_sets_nobody_s_clock_back(
    line: Line,
) -> None:
    await line.join("busy", 30)
    await line.serve(20)
    await line.queue.enqueue([make_row(project="unlucky", vft=0.0)])

    await line.join("newcomer", 10)

    assert (await line.serve(11)).count("newcomer") in (5, 6)


async def test_a_command_that_is_read_again_costs_its_project_nothing(line: Line) -> None:
    rows = await line.join("project", 3)
    before = await line.fairness.share("project")

    await line.queue.enqueue(await line.fairness.tag(rows))

    assert await line.fairness.share("project") == before


async def test_a_cap_holds_however_many_claim_at_once(line: Line) -> None:
    await line.fairness.set_share("capped", weight=1.0, cap=3)
    await line.join("capped", 20)
    workers = [Claims(line.queue, line.fairness) for _ in range(10)]

    leases = [await asyncio.gather(*(worker.next() for worker in workers)) for _ in range(3)]

    held = [lease for round_ in leases for lease in round_ if isinstance(lease, Lease)]
    assert len(held) == await line.fairness.leases("capped") <= 3
    assert await _more(line, 3 - len(held)) == 3


async def test_others_go_on_while_a_project_is_at_its_cap(line: Line) -> None:
    await line.fairness.set_share("capped", weight=1.0, cap=1)
    await line.join("capped", 5)
    await line.join("free", 5)

    assert (await line.serve(6)).count("free") == 5


async def test_a_run_that_waited_long_joins_a_more_urgent_lane(line: Line, stack: Settings) -> None:
    (row,) = await line.join("patient", 1, lane=2)
    await line.mongo.queue.update_one(
        {"_id": row.id}, {"$set": {"queued_at": now() - SETTINGS.ageing * 1.5}}
    )

    async with S3ObjectStore.open(stack.s3) as store:
        await Upkeep(line.mongo, SETTINGS, line.fairness, store).age()

    moved = await line.mongo.queue.find_one({"_id": row.id})
    assert moved is not None
    assert moved["lane"] == 1


async def _more(line: Line, wanted: int) -> int:
    """One by one, whatever a race has left free."""
    for _ in range(wanted):
        await line.claims.next()
    return await line.fairness.leases("capped")
