"""A process dies after any of its writes: one outcome per run, nothing lost, nothing left over.

The table in docs/reliability.md is `ROWS`. Each row passes, and fails without its mechanism.
"""

import random
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import pytest

from services.errors import NotFound
from services.projection_store import OffsetsMoved
from services.settings import ROOT, Settings
from tests.connected import crash_mechanisms as mechanisms
from tests.connected.crash_mechanisms import Without
from tests.connected.crash_parts import Fuse
from tests.connected.crash_stories import (
    BATCH,
    CANCELLED,
    CHAIN,
    CIRCLE,
    CLAIMS,
    DEADLY_JOB,
    DOOMED,
    IDLE,
    JOB,
    LEFT,
    LOSER,
    OVERTAKEN,
    POISON,
    RETRIED,
    STORIES,
    STRANGE,
    STRANGERS_CLAIMS,
    UNSHOWN,
    UNSHOWN_CLAIMS,
    UNSHOWN_RETRIED,
    Story,
    retry,
    submit,
)
from tests.connected.crash_world import LIFE, Process, World, event_of, kind_of, world_of

pytestmark = pytest.mark.connected

ALONE: Final = JOB._replace(again=())  #: whoever asked for it never comes back
TWICE: Final = (Process.take_in, Process.work)  #: others are quicker than the outbox
JUST_CANCELLED: Final = CANCELLED._replace(
    allowed={CIRCLE: {"cancelled"}}, again=(Process.sweep, Process.work)
)


BROKEN: Final = (AssertionError, OffsetsMoved, NotFound)


class Row(NamedTuple):
    story: Story
    point: str | None  #: the write after which the process dies; None: the engine kills it
    without: Without
    nth: int = 1


ROWS: Final = {
    # admission
    "the document; the caller asks again": Row(JOB, "jobs.insert_many", mechanisms.the_unique_key),
    "the document; nobody asks again": Row(ALONE, "jobs.insert_many", mechanisms.the_outbox),
    "the command": Row(JOB._replace(again=TWICE), "publish requested", mechanisms.inserting_once),
    "the mark of the command": Row(JOB, "jobs.update_many", mechanisms.the_unique_key),
    "a batch's documents": Row(
        BATCH._replace(counts={0}),
        "jobs.insert_many in a transaction",
        mechanisms.one_transaction,
    ),
    "a batch's commit": Row(BATCH._replace(counts={2}), "commit", mechanisms.the_outbox),
    "what a job claims": Row(
        CLAIMS._replace(counts={0}),
        "aliases.update_one in a transaction",
        mechanisms.one_transaction,
    ),
    "the commit of claims": Row(CLAIMS._replace(counts={1}), "commit", mechanisms.the_outbox),
    "the commit of a retry": Row(RETRIED, "commit", mechanisms.the_outbox),
    # the outbox
    "the outbox's command": Row(
        LEFT._replace(again=TWICE), "publish requested", mechanisms.inserting_once
    ),
    "the outbox's mark": Row(LEFT, "jobs.update_many", mechanisms.marking_last),
    # intake
    "a stranger's document": Row(STRANGE, "commit", mechanisms.one_job_a_command),
    "a stranger's claims": Row(STRANGERS_CLAIMS, "commit", mechanisms.one_job_a_command),
    "a rejection": Row(STRANGE, "publish rejected", mechanisms.one_id_a_rejection),
    "a dead letter": Row(STRANGE, "publish dead-letter", mechanisms.one_id_a_letter),
    "accepted": Row(JOB, "publish accepted", mechanisms.offsets_last),
    "the tag of a project": Row(JOB, "tenants.find_one_and_update", mechanisms.offsets_last),
    "the queue rows": Row(JOB, "queue.bulk_write", mechanisms.inserting_once),
    "a row that is leased at once": Row(IDLE, "queue.update_one", mechanisms.expiry),
    "the offsets": Row(JOB, "commit offsets", mechanisms.offsets_last),
    # cancel
    "a cancel's row before its request": Row(
        OVERTAKEN, "queue.update_one", mechanisms.finding_the_stub
    ),
    "a cancel's flag": Row(
        JUST_CANCELLED, "queue.find_one_and_update", mechanisms.looking_at_the_claim
    ),
    "a cancel's outcome": Row(
        JUST_CANCELLED, "queue.update_one", mechanisms.publishing_what_is_not
    ),
    "cancelled": Row(JUST_CANCELLED, "publish cancelled", mechanisms.the_stored_bytes),
    # fulfilment
    "the claim": Row(JOB, "queue.find_one_and_update", mechanisms.expiry),
    "the keys of pictures": Row(JOB, "queue.update_one", mechanisms.expiry),
    "started": Row(JOB, "publish started", mechanisms.expiry),
    "the pictures": Row(JOB, "put", mechanisms.noting_uploads),
    "the outcome": Row(JOB, "queue.update_one", mechanisms.publishing_what_is_not, 2),
    "what the worker shows": Row(JOB, "images.insert_many", mechanisms.publishing_what_is_not),
    "completed": Row(JOB, "publish completed", mechanisms.the_stored_bytes),
    "the mark of the outcome": Row(CHAIN, "queue.update_one", mechanisms.settling_what_waits, 3),
    "what waited no longer waits": Row(CHAIN, "queue.update_many", mechanisms.settling_what_waits),
    "failed": Row(DOOMED, "publish failed", mechanisms.settling_what_waits),
    # sweeps
    "each of four attempts": Row(DEADLY_JOB, None, mechanisms.counting_at_the_claim),
    "the sweep's claim of a poison": Row(POISON, "queue.find_one_and_update", mechanisms.expiry),
    "the outcome poison": Row(POISON, "queue.update_one", mechanisms.publishing_what_is_not),
    "the deletion of a loser's picture": Row(LOSER, "delete", mechanisms.deleting_twice),
    # the projector
    "what totals are told": Row(
        UNSHOWN_RETRIED, "disturbances.insert_many", mechanisms.folding_first
    ),
    "the facts of a picture": Row(UNSHOWN, "images.insert_many", mechanisms.folding_first),
    "the activity of a flow": Row(UNSHOWN_CLAIMS, "flows.bulk_write", mechanisms.folding_first),
    "the states": Row(UNSHOWN, "jobs.bulk_write", mechanisms.a_repeat_is_no_news),
    "the offsets of the fold": Row(UNSHOWN, "offsets.bulk_write", mechanisms.the_stored_offsets),
}

#: Points of the stories that need no row: those inside a transaction that has one, of claims or a
#: retry, and a cancel that is in Kafka, where intake's rows begin.
ELSEWHERE: Final = {
    *(
        f"{write} in a transaction"
        for write in (
            "disturbances.insert_many",
            "feeds.find_one_and_update",
            "flows.insert_one",
            "jobs.insert_one",
            "jobs.update_one",
            "library_outbox.insert_many",
        )
    ),
    "publish cancel-requested",
}


@pytest.fixture(scope="module")
async def world(migrated: Settings) -> AsyncIterator[World]:
    async with world_of(migrated) as world:
        yield world


async def told(world: World, story: Story, fuse: Fuse) -> None:
    """The story until the fuse blows, and what others make of what was left."""
    await world.begin()
    await story.before(world)
    if not await world.live(fuse, *story.steps):
        await world.live(Fuse(), *story.again)
    await world.recover()
    await world.check(story.allowed, story.counts)
    await world.check_refusals()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
async def test_a_process_that_dies_after(world: World, row: Row) -> None:
    fuse = Fuse(row.point, row.nth if row.point else None)

    await told(world, row.story, fuse)

    assert fuse.blown.is_set(), fuse.writes


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
async def test_is_not_made_up_for_without_its_mechanism_after(world: World, row: Row) -> None:
    fuse = Fuse(row.point, row.nth if row.point else None)

    with row.without(), pytest.raises(BROKEN):
        await told(world, row.story, fuse)


async def test_a_retry_of_what_was_seen_to_end_is_told_of_after_that_end(world: World) -> None:
    await world.begin()
    shown = Fuse("jobs.bulk_write", 1)
    assert not await world.live(shown, submit, *LIFE), "it dies before it publishes"

    await world.live(Fuse(), retry, Process.take_in)

    await world.events.read_on()
    told = [event_of(record) for record in world.events.records]
    assert [kind_of(event) for event in told] == ["accepted", "started", "completed", "accepted"]


@pytest.mark.parametrize("name", STORIES)
async def test_wherever_a_process_dies_each_run_ends_once(world: World, name: str) -> None:
    nth, fuse = 0, Fuse()
    while nth <= len(fuse.writes):  # until a process outlived its story
        nth += 1
        fuse = Fuse(nth=nth)
        await told(world, STORIES[name], fuse)

    assert set(fuse.writes) <= {row.point for row in ROWS.values()} | ELSEWHERE


@pytest.mark.parametrize("seed", range(4))
async def test_who_makes_up_for_a_death_may_die_of_it_too(world: World, seed: int) -> None:
    chance = random.Random(seed)
    story = chance.choice([JOB, CHAIN, DOOMED, STRANGE])
    await world.begin()
    await story.before(world)
    await world.live(Fuse(nth=chance.randint(1, 25)), *story.steps)
    await world.live(Fuse(), *story.again)
    for _ in range(3):
        await world.pass_time()
        await world.live(Fuse(nth=chance.randint(1, 8)), *LIFE)
    await world.recover()
    await world.check(story.allowed, story.counts)


def test_the_document_tells_of_every_row() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text()
    table = text.split("| dies after |")[1].split("\n\n")[0]
    told = [line.split("|")[1].strip() for line in table.splitlines()[2:]]

    assert [name for name in told if not name.startswith("**")] == list(ROWS)
