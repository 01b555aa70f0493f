"""An estimate is made of what was measured and of the queue ahead, and asks nobody."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from schemas.common import now
from schemas.jobs import Dialect, GenerationSpec, Job, Lane, Tier
from schemas.queue import RowState
from services.arrivals import AGAIN
from services.engine.catalogue import Catalogue
from services.estimates import WORKERS, Durations, Estimates
from services.fairness import Fairness
from services.mongo import Mongo
from services.queue import Queue
from services.settings import ROOT, GeneratorSettings, Settings
from tests.connected.queue_parts import make_row, own_database

pytestmark = pytest.mark.connected

CATALOGUE = Catalogue.load(ROOT / "models" / "models.yaml")
DEMO = "demo"
SPEC = GenerationSpec(prompt="a", model="tiny", width=256, height=256, seed=1)


@pytest.fixture
async def mongo(stack: Settings) -> AsyncIterator[Mongo]:
    async with own_database(stack) as mongo:
        yield mongo


async def measured(mongo: Mongo, *seconds: float, workers: int = 1) -> Estimates:
    for worker in range(workers):
        await Durations(mongo, f"host.example:{worker}").beat()
    durations = Durations(mongo, "host")
    for each in seconds:
        durations.note(SPEC, each)
        await durations.write()
    estimates = Estimates(mongo, CATALOGUE, clock=lambda: 0.0)
    await estimates.refresh()
    return estimates


async def test_nothing_is_promised_before_anything_was_measured(mongo: Mongo) -> None:
    estimates = await measured(mongo)

    assert estimates.seconds(DEMO, SPEC, Lane.INTERACTIVE) is None


async def test_the_median_of_what_was_measured_is_promised(mongo: Mongo) -> None:
    estimates = await measured(mongo, 1.0, 2.0, 60.0)

    assert estimates.seconds(DEMO, SPEC, Lane.INTERACTIVE) == 2.0


async def test_a_new_pace_is_believed_after_three_pictures_and_one_alone_is_not(
    mongo: Mongo,
) -> None:
    before = [2.0] * 20
    once = await measured(mongo, *before, 6.0)

    assert once.seconds(DEMO, SPEC, Lane.INTERACTIVE) == 2.0

    thrice = await measured(mongo, 6.0, 6.0)

    assert thrice.seconds(DEMO, SPEC, Lane.INTERACTIVE) == 6.0


async def test_several_pictures_take_as_often_as_long(mongo: Mongo) -> None:
    estimates = await measured(mongo, 2.0)
    four = SPEC.model_copy(update={"num_images": 4})

    assert estimates.seconds(DEMO, four, Lane.INTERACTIVE) == 8.0


async def test_what_was_never_made_is_judged_by_its_pixels_and_steps(mongo: Mongo) -> None:
    estimates = await measured(mongo, 2.0)
    large = SPEC.model_copy(update={"width": 512, "height": 512, "tier": Tier.HIGH})

    steps = {tier: CATALOGUE.find("tiny").tiers[tier].num_inference_steps for tier in Tier}

    expected = 2.0 * 4 * steps[Tier.HIGH] / steps[Tier.STANDARD]
    assert estimates.seconds(DEMO, large, Lane.INTERACTIVE) == pytest.approx(expected)


async def test_the_queue_ahead_is_shared_by_the_workers(mongo: Mongo) -> None:
    rows = [make_row(spec=SPEC, lane=lane) for lane in (0, 0, 0, 0, 2, 2)]
    await Queue(mongo, GeneratorSettings()).enqueue(rows)
    estimates = await measured(mongo, 2.0, workers=2)

    assert estimates.seconds(DEMO, SPEC, Lane.INTERACTIVE) == 4 * 2.0 / 2 + 2.0
    assert estimates.seconds(DEMO, SPEC, Lane.BATCH) == 6 * 2.0 / 2 + 2.0


async def test_a_flood_of_another_project_is_ahead_by_its_fair_share(mongo: Mongo) -> None:
    rows = [make_row(spec=SPEC, lane=2, project="flood") for _ in range(50)]
    await Queue(mongo, GeneratorSettings()).enqueue(rows)
    await Fairness(mongo, CATALOGUE).set_share("flood", weight=2.0, cap=None)
    estimates = await measured(mongo, 2.0)

    three = estimates.one_after_another(DEMO, [(SPEC, Lane.BATCH)] * 3)

    assert three == (3 * 2.0, 6 * 2.0, 9 * 2.0), "two of theirs to each of ours"
    assert estimates.seconds("flood", SPEC, Lane.BATCH) == 51 * 2.0


async def test_what_a_project_was_just_admitted_is_ahead_of_its_next(mongo: Mongo) -> None:
    await Queue(mongo, GeneratorSettings()).enqueue(
        [make_row(spec=SPEC, project="flood") for _ in range(50)]
    )
    estimates = await measured(mongo, 2.0)
    row = make_row(spec=SPEC)
    job = Job(id=row.job, run=row.id, project=row.project, dialect=Dialect.BLOG, spec=SPEC)

    estimates.admitted([job])

    assert estimates.seconds(DEMO, SPEC, Lane.INTERACTIVE) == 4 * 2.0


async def test_a_worker_that_is_gone_shares_no_work(mongo: Mongo) -> None:
    await measured(mongo, 2.0, workers=2)
    await mongo.durations.update_one(
        {"_id": WORKERS}, {"$set": {"seen.host_example:0": now() - timedelta(minutes=5)}}
    )
    await Queue(mongo, GeneratorSettings()).enqueue([make_row(spec=SPEC)])
    estimates = Estimates(mongo, CATALOGUE, clock=lambda: 0.0)
    await estimates.refresh()

    assert estimates.seconds(DEMO, SPEC, Lane.INTERACTIVE) == 4.0


async def test_those_of_a_batch_are_ahead_of_each_other_and_share_the_workers(mongo: Mongo) -> None:
    estimates = await measured(mongo, 2.0, workers=2)

    expected = estimates.one_after_another(DEMO, [(SPEC, Lane.BATCH)] * 4)

    assert expected == (2.0, 2.0, 3.0, 4.0), "never less than its own"


async def test_less_urgent_ones_of_a_batch_are_not_ahead(mongo: Mongo) -> None:
    estimates = await measured(mongo, 2.0)

    expected = estimates.one_after_another(DEMO, [(SPEC, Lane.BATCH), (SPEC, Lane.STANDARD)])

    assert expected == (2.0, 2.0)


async def test_what_waits_for_another_is_ahead_too(mongo: Mongo) -> None:
    waiting = make_row(spec=SPEC, lane=2, after=(uuid4(),), state=RowState.WAITING)
    await Queue(mongo, GeneratorSettings()).enqueue([waiting])
    estimates = await measured(mongo, 2.0)

    assert estimates.seconds(DEMO, SPEC, Lane.BATCH) == 4.0


async def test_what_a_worker_holds_is_ahead_of_every_lane(mongo: Mongo) -> None:
    queue = Queue(mongo, GeneratorSettings())
    await queue.enqueue([make_row(spec=SPEC, lane=2)])
    assert await queue.claim()
    estimates = await measured(mongo, 2.0)

    assert estimates.seconds(DEMO, SPEC, Lane.INTERACTIVE) == 1.0 + 2.0, "half of it is done"


async def test_what_is_left_of_a_less_urgent_run_is_ahead_though_none_was_held(
    mongo: Mongo,
) -> None:
    four = SPEC.model_copy(update={"num_images": 4})
    rows = [make_row(spec=spec, lane=2) for spec in (SPEC, SPEC, SPEC, four)]
    await Queue(mongo, GeneratorSettings()).enqueue(rows)
    estimates = await measured(mongo, 2.0)

    left = (3 * 2.0**2 + 8.0**2) / (2 * (3 * 2.0 + 8.0))
    assert estimates.seconds(DEMO, SPEC, Lane.STANDARD) == pytest.approx(left + 2.0, abs=0.01)


async def test_what_was_just_admitted_is_ahead_until_the_queue_has_it(mongo: Mongo) -> None:
    estimates = await measured(mongo, 2.0)
    row = make_row(spec=SPEC)
    job = Job(id=row.job, run=row.id, project=row.project, dialect=Dialect.BLOG, spec=SPEC)
    estimates.admitted([job])

    before = estimates.seconds(DEMO, SPEC, Lane.INTERACTIVE)
    await Queue(mongo, GeneratorSettings()).enqueue([row])
    await estimates.refresh()

    assert before == 4.0
    assert estimates.seconds(DEMO, SPEC, Lane.INTERACTIVE) == 4.0, "and not twice"


async def test_most_of_what_came_lately_and_is_more_urgent_is_expected_again(mongo: Mongo) -> None:
    estimates = await measured(mongo, 2.0)
    row = make_row(spec=SPEC)
    job = Job(id=row.job, run=row.id, project=row.project, dialect=Dialect.BLOG, spec=SPEC)
    estimates.admitted([job])

    (alone,) = estimates.one_after_another(DEMO, [(SPEC, Lane.BATCH)])
    behind = estimates.one_after_another(DEMO, [(SPEC, Lane.BATCH)] * 100)[-1]

    assert alone == pytest.approx(2.0 + 2.0 + 2.0 * AGAIN, abs=0.01)
    assert behind == pytest.approx(2.0 + 200.0 + 2.0 * AGAIN, abs=0.01)
