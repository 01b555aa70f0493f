"""The queue on a real mongod: each run is claimed by one and decided once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from aiokafka.errors import KafkaConnectionError

from schemas.common import now
from schemas.events import TerminalEvent
from schemas.jobs import Dialect, Job, Status
from schemas.queue import Outcome, QueueRow, RowState
from schemas.topics import GENERATION_COMMANDS
from services import run_events
from services.cancels import Cancels
from services.decisions import Decisions
from services.inserts import job_document
from services.mongo import Mongo
from services.outcomes import Outcomes
from services.queue import Lease, Queue
from services.redelivery import waited_out
from services.settings import GeneratorSettings, Settings
from services.successors import Successors
from tests.connected.queue_parts import (
    RememberingPublisher,
    completed,
    decided,
    make_row,
    outcomes_of,
    own_database,
)

pytestmark = pytest.mark.connected

SETTINGS = GeneratorSettings(backoff=timedelta(seconds=20), max_attempts=3)


@pytest.fixture(scope="module")
async def database(stack: Settings) -> AsyncIterator[Mongo]:
    async with own_database(stack) as mongo:
        yield mongo


@pytest.fixture
async def mongo(database: Mongo) -> Mongo:
    await database.queue.delete_many({})
    return database


@pytest.fixture
def queue(mongo: Mongo) -> Queue:
    return Queue(mongo, SETTINGS)


@pytest.fixture
def decisions(mongo: Mongo) -> Decisions:
    return Decisions(mongo)


@pytest.fixture
def cancels(mongo: Mongo) -> Cancels:
    return Cancels(mongo)


@pytest.fixture
def publisher() -> RememberingPublisher:
    return RememberingPublisher()


@pytest.fixture
def outcomes(mongo: Mongo, queue: Queue, publisher: RememberingPublisher) -> Outcomes:
    return outcomes_of(mongo, queue, publisher)


async def stored(mongo: Mongo, run: UUID) -> QueueRow:
    return QueueRow.model_validate(await mongo.queue.find_one({"_id": run}))


async def change(mongo: Mongo, run: UUID, **facts: Any) -> None:
    """What time or another process would have done."""
    changed = await mongo.queue.update_one({"_id": run}, {"$set": facts})
    assert changed.matched_count == 1


async def expire(mongo: Mongo, run: UUID) -> None:
    await change(mongo, run, lease_until=now() - timedelta(seconds=1))


async def claimed(queue: Queue) -> Lease:
    lease = await queue.claim()
    assert lease is not None
    return lease


async def unpublished_long(mongo: Mongo, run: UUID) -> None:
    await change(mongo, run, **{"outcome.decided_at": now() - timedelta(seconds=60)})


# enqueue


async def test_enqueueing_again_changes_nothing(
    mongo: Mongo, queue: Queue, decisions: Decisions
) -> None:
    row = make_row()
    await queue.enqueue([row])
    lease = await claimed(queue)
    before = await stored(mongo, row.id)

    await queue.enqueue([row, row.model_copy(update={"vft": 99.0})])

    assert await stored(mongo, row.id) == before
    await decided(decisions, lease, completed(lease.row))
    await queue.enqueue([row])
    assert await queue.claim() is None


async def test_a_row_comes_back_as_it_was_put_in(mongo: Mongo, queue: Queue) -> None:
    row = make_row(after=(uuid4(),), traceparent="00-1-2-03", flow_id=uuid4(), run_number=2)

    await queue.enqueue([row])

    assert await stored(mongo, row.id) == row


# claim


async def test_thirty_claimers_get_each_of_sixty_runs_once(queue: Queue) -> None:
    rows = [make_row(vft=float(number)) for number in range(60)]
    await queue.enqueue(rows)

    async def take_all() -> list[UUID]:
        taken = []
        while (lease := await queue.claim()) is not None:
            taken.append(lease.row.id)
        return taken

    taken = await asyncio.gather(*(take_all() for _ in range(30)))

    counts = Counter(run for runs in taken for run in runs)
    assert counts == Counter(row.id for row in rows)


async def test_runs_are_claimed_by_lane_then_by_virtual_finish_time(queue: Queue) -> None:
    places = [(2, 1.0), (0, 9.0), (1, 2.0), (0, 3.0), (1, 1.0)]
    await queue.enqueue([make_row(lane=lane, vft=vft) for lane, vft in places])

    order = [await claimed(queue) for _ in places]

    assert [(lease.row.lane, lease.row.vft) for lease in order] == sorted(places)


async def test_a_run_that_is_not_due_waits_behind_those_that_are(
    mongo: Mongo, queue: Queue
) -> None:
    later = make_row(due=now() + timedelta(seconds=60), vft=0.0)
    sooner = make_row(vft=1.0)
    await queue.enqueue([later, sooner])

    assert (await claimed(queue)).row.id == sooner.id
    assert await queue.claim() is None
    await change(mongo, later.id, due=now() - timedelta(seconds=1))
    assert (await claimed(queue)).row.id == later.id


async def test_a_claim_counts_as_an_attempt_before_anything_is_done(
    mongo: Mongo, queue: Queue
) -> None:
    row = make_row()
    await queue.enqueue([row])

    lease = await claimed(queue)

    kept = await stored(mongo, row.id)
    assert lease.row == kept
    assert (kept.state, kept.attempt) == (RowState.LEASED, 1)
    assert kept.owner
    left = cast(Any, kept.lease_until) - now()
    assert timedelta(seconds=25) < left <= SETTINGS.lease + timedelta(seconds=1)


async def test_claiming_and_sweeping_use_indexes(
    mongo: Mongo, queue: Queue, decisions: Decisions, cancels: Cancels
) -> None:
    await queue.enqueue([make_row(vft=float(number)) for number in range(300)])
    profile = mongo.database["system.profile"]
    await mongo.database.command("profile", 2)

    await queue.claim()
    await queue.take_expired()
    await decisions.unpublished()
    await Successors(mongo).settle_waiting()
    await cancels.current_run(uuid4(), "demo")

    await mongo.database.command("profile", 0)
    plans = [entry async for entry in profile.find({"ns": mongo.queue.full_name})]
    await profile.drop()
    assert len(plans) >= 5
    assert [plan for plan in plans if "COLLSCAN" in plan.get("planSummary", "")] == []
    claim = next(plan for plan in plans if "sort" in plan.get("command", {}))
    assert claim["docsExamined"] == 1


# who may change a lease


async def test_only_the_holder_of_a_lease_may_use_it(
    mongo: Mongo, queue: Queue, decisions: Decisions
) -> None:
    row = make_row()
    await queue.enqueue([row])
    lease = await claimed(queue)
    for facts in ({"owner": "another"}, {"attempt": lease.row.attempt + 1}):
        theirs = Lease(row=lease.row.model_copy(update=facts))
        before = await stored(mongo, row.id)

        assert not await queue.renew(theirs)
        assert not await decided(decisions, theirs, completed(theirs.row))
        assert not await queue.note_uploads(theirs, ["generated/x.png"])
        await queue.release(theirs)
        await queue.abandon(theirs)

        assert await stored(mongo, row.id) == before


async def test_renewing_moves_the_end_of_the_lease(mongo: Mongo, queue: Queue) -> None:
    row = make_row()
    await queue.enqueue([row])
    lease = await claimed(queue)
    await expire(mongo, row.id)

    assert await queue.renew(lease)

    assert await queue.take_expired() is None


async def test_a_released_run_is_ready_at_once_and_the_attempt_does_not_count(
    mongo: Mongo, queue: Queue
) -> None:
    row = make_row()
    await queue.enqueue([row])

    await queue.release(await claimed(queue))

    kept = await stored(mongo, row.id)
    assert (kept.state, kept.attempt, kept.owner) == (RowState.READY, 0, None)
    assert (await claimed(queue)).row.attempt == 1


async def test_a_lease_from_before_the_release_is_worth_nothing(
    queue: Queue, decisions: Decisions
) -> None:
    row = make_row()
    await queue.enqueue([row])
    before = await claimed(queue)
    await queue.release(before)
    again = await claimed(queue)

    assert again.row.attempt == before.row.attempt
    assert not await decided(decisions, before, completed(before.row))
    assert await decided(decisions, again, completed(again.row))


# outcomes


async def test_an_outcome_keeps_the_exact_bytes_of_its_event(
    mongo: Mongo, queue: Queue, decisions: Decisions
) -> None:
    await queue.enqueue([make_row()])
    lease = await claimed(queue)
    event = completed(lease.row)

    assert await decided(decisions, lease, event)

    kept = await stored(mongo, lease.row.id)
    assert kept.outcome is not None
    assert (kept.state, kept.outcome.event) == (RowState.DONE, event.encode())
    assert (kept.spec, kept.owner, kept.published) == (None, None, False)


async def test_a_run_has_one_outcome(queue: Queue, decisions: Decisions) -> None:
    await queue.enqueue([make_row()])
    lease = await claimed(queue)
    assert await decided(decisions, lease, completed(lease.row))

    assert not await decided(decisions, lease, completed(lease.row))
    assert not await decided(decisions, lease, run_events.failed(lease.row, "x", "y"))
    assert not await decisions.cancel_unleased(lease.row, run_events.cancelled(lease.row, "z"))


async def test_completion_loses_against_a_cancel_that_came_first(
    queue: Queue, decisions: Decisions, cancels: Cancels
) -> None:
    row = make_row()
    await queue.enqueue([row])
    lease = await claimed(queue)
    await cancels.request(row.id, row.job, row.project, "changed my mind")

    assert not await decided(decisions, lease, completed(lease.row))
    assert await queue.cancelled([lease]) == {row.id: "changed my mind"}
    assert await decided(decisions, lease, run_events.cancelled(lease.row, "changed my mind"))


async def test_who_is_refused_for_a_cancel_sees_it(
    queue: Queue, decisions: Decisions, cancels: Cancels
) -> None:
    """Else nobody would decide the run before its lease has expired; 300 rounds."""
    for later in range(300):
        row = make_row()
        await queue.enqueue([row])
        lease = await claimed(queue)

        cancelling = asyncio.create_task(cancels.request(row.id, row.job, row.project, "race"))
        await asyncio.sleep(later % 30 / 10_000)
        outcome = await decisions.commit(lease, completed(lease.row))

        assert outcome is not None or row.id in await queue.cancelled([lease])
        await cancelling


async def test_among_racing_deciders_exactly_one_wins(
    mongo: Mongo,
    queue: Queue,
    cancels: Cancels,
    outcomes: Outcomes,
    publisher: RememberingPublisher,
) -> None:
    """The worker, a sweeper that took the lease for expired, and a cancel; 100 rounds."""
    winners = Counter[str]()
    for _ in range(100):
        row = make_row(max_attempts=1)
        await queue.enqueue([row])
        lease = await claimed(queue)
        await expire(mongo, row.id)

        async def cancel(row: QueueRow = row, lease: Lease = lease) -> None:
            await cancels.request(row.id, row.job, row.project, "race")
            await outcomes.commit(lease, run_events.cancelled(lease.row, "race"))

        deciders: list[Awaitable[Any]] = [
            outcomes.commit(lease, completed(lease.row)),
            outcomes.commit(lease, run_events.failed(lease.row, "out_of_memory", "")),
            outcomes.sweep(),
            cancel(),
        ]
        await asyncio.gather(*deciders)

        (kind,) = publisher.kinds(row.job)
        kept = await stored(mongo, row.id)
        assert kept.outcome is not None
        assert kept.published
        assert publisher.bytes_of(row.job) == [kept.outcome.event]
        winners[kind] += 1
    assert sum(winners.values()) == 100


async def test_the_event_of_a_decided_run_is_published_and_acknowledged(
    mongo: Mongo, queue: Queue, outcomes: Outcomes, publisher: RememberingPublisher
) -> None:
    await queue.enqueue([make_row()])
    lease = await claimed(queue)

    assert await outcomes.commit(lease, completed(lease.row))

    assert publisher.kinds(lease.row.job) == ["completed"]
    assert (await stored(mongo, lease.row.id)).published
    await unpublished_long(mongo, lease.row.id)
    await outcomes.sweep()
    assert publisher.kinds(lease.row.job) == ["completed"]


async def test_an_unpublished_outcome_is_published_later_with_the_same_bytes(
    mongo: Mongo, queue: Queue, outcomes: Outcomes, publisher: RememberingPublisher
) -> None:
    await queue.enqueue([make_row()])
    lease = await claimed(queue)
    event = completed(lease.row)
    publisher.outages.append(KafkaConnectionError())
    assert await outcomes.commit(lease, event)
    assert publisher.sent == []

    await outcomes.sweep()
    assert publisher.sent == [], "its own worker may still be at it"
    await unpublished_long(mongo, lease.row.id)
    await outcomes.sweep()
    await outcomes.sweep()

    assert publisher.bytes_of(lease.row.job) == [event.encode()]
    assert (await stored(mongo, lease.row.id)).published


async def test_an_outcome_that_a_failing_server_forgot_is_decided_again(
    mongo: Mongo,
    queue: Queue,
    outcomes: Outcomes,
    publisher: RememberingPublisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A primary had it, and nobody else, when another became primary."""
    await queue.enqueue([make_row()])
    lease = await claimed(queue)
    before = await mongo.queue.find_one({"_id": lease.row.id})
    assert before is not None
    told: list[int] = []
    commit = Decisions.commit

    async def forgotten_once(self: Decisions, lease: Lease, event: TerminalEvent) -> Outcome | None:
        outcome = await commit(self, lease, event)
        if not told:
            await mongo.queue.replace_one({"_id": lease.row.id}, before)
        told.append(len(publisher.sent))
        return outcome

    monkeypatch.setattr(Decisions, "commit", forgotten_once)
    event = completed(lease.row)
    assert await waited_out(lambda: outcomes.commit(lease, event), "queue")

    assert told == [0, 0], "nothing is published that could be forgotten"
    assert publisher.bytes_of(lease.row.job) == [event.encode()]
    kept = await stored(mongo, lease.row.id)
    assert kept.outcome is not None
    assert (kept.state, kept.published) == (RowState.DONE, True)


async def test_a_lease_whose_answer_got_lost_is_known_by_its_nonce(queue: Queue) -> None:
    row = make_row()
    lease, other = queue.first_lease(row), queue.first_lease(row)

    assert await queue.insert_leased(lease)
    assert await queue.insert_leased(lease)
    assert not await queue.insert_leased(other)


async def test_an_outcome_is_polled_while_the_broker_is_away(
    mongo: Mongo, queue: Queue, outcomes: Outcomes, publisher: RememberingPublisher
) -> None:
    row = make_row()
    await queue.enqueue([row])
    job = Job(id=row.job, run=row.id, project=row.project, spec=row.spec, dialect=Dialect.BLOG)
    await mongo.jobs.insert_one(job_document(job))
    lease = await claimed(queue)
    publisher.outages.append(KafkaConnectionError())

    assert await outcomes.commit(lease, completed(lease.row))

    polled = Job.model_validate(await mongo.jobs.find_one({"_id": job.id}))
    assert (polled.status, publisher.sent) == (Status.SUCCEEDED, [])


async def test_a_state_of_another_version_keeps_no_outcome_from_the_stream(
    mongo: Mongo, queue: Queue, outcomes: Outcomes, publisher: RememberingPublisher
) -> None:
    row = make_row()
    await queue.enqueue([row])
    unknown = {"runs": {str(row.id): {"number": 1, "status": "refining"}}}
    await mongo.jobs.insert_one({"_id": row.job, "project": row.project, "state": unknown})
    lease = await claimed(queue)

    await outcomes.foresee(lease.row)
    assert await outcomes.commit(lease, completed(lease.row))

    assert publisher.kinds(row.job) == ["completed"]


async def test_a_broker_that_is_away_holds_up_no_run_that_waits(
    mongo: Mongo,
    queue: Queue,
    decisions: Decisions,
    outcomes: Outcomes,
    publisher: RememberingPublisher,
) -> None:
    first = make_row()
    final = make_row(after=(first.job,))
    await queue.enqueue([final, first])
    lease = await claimed(queue)
    assert await decided(decisions, lease, completed(lease.row))
    await unpublished_long(mongo, first.id)
    publisher.outages.append(KafkaConnectionError())

    with pytest.raises(KafkaConnectionError):
        await outcomes.sweep()

    assert (await claimed(queue)).row.id == final.id


async def test_what_has_ended_is_kept_for_longer_than_its_command(
    mongo: Mongo, queue: Queue, decisions: Decisions, cancels: Cancels
) -> None:
    row, stub = make_row(), make_row()
    await queue.enqueue([row])
    lease = await claimed(queue)
    await decided(decisions, lease, completed(lease.row))
    await cancels.request(stub.id, stub.job, stub.project, "there may be no request")

    ends = [kept["ended_at"] async for kept in mongo.queue.find({})]
    indexes = await mongo.queue.index_information()

    assert len(ends) == 2
    assert all(now() - end < timedelta(minutes=1) for end in ends)
    assert GENERATION_COMMANDS.retention is not None
    kept_for = timedelta(seconds=indexes["kept"]["expireAfterSeconds"])
    assert kept_for > GENERATION_COMMANDS.retention


def test_the_story_of_a_failure_fits_in_its_event() -> None:
    event = run_events.failed(make_row(), "out_of_memory", "x" * 5_000_000)

    assert len(event.encode()) < 10_000


async def test_uploads_of_an_earlier_lease_are_not_forgotten(
    mongo: Mongo, queue: Queue, decisions: Decisions
) -> None:
    """A worker that was told to end in the middle of its uploads counts no attempt."""
    row = make_row()
    await queue.enqueue([row])
    before = await claimed(queue)
    assert await queue.note_uploads(before, ["generated/loser.png"])
    await queue.release(before)
    again = await claimed(queue)
    assert await queue.note_uploads(again, ["generated/winner.png"])

    assert await decided(decisions, again, completed(again.row))

    assert "generated/loser.png" in (await stored(mongo, row.id)).uploads


async def test_a_run_without_losers_leaves_nothing_to_be_swept(
    mongo: Mongo, queue: Queue, decisions: Decisions
) -> None:
    await queue.enqueue([make_row()])
    lease = await claimed(queue)
    await queue.note_uploads(lease, ["generated/winner.png"])

    await decided(decisions, lease, completed(lease.row))

    assert (await stored(mongo, lease.row.id)).uploads == ()


# expired leases


async def test_an_expired_lease_is_ready_again_after_a_backoff_and_counted(
    mongo: Mongo,
    queue: Queue,
    decisions: Decisions,
    outcomes: Outcomes,
    publisher: RememberingPublisher,
) -> None:
    row = make_row(max_attempts=3)
    await queue.enqueue([row])
    lost = await claimed(queue)
    await expire(mongo, row.id)

    await outcomes.sweep()

    kept = await stored(mongo, row.id)
    assert (kept.state, kept.attempt) == (RowState.READY, 1)
    assert timedelta(seconds=15) < kept.due - now() <= timedelta(seconds=21)
    assert await queue.claim() is None
    assert not await queue.renew(lost)
    assert not await decided(decisions, lost, completed(lost.row))
    assert publisher.sent == []


async def test_the_backoff_doubles(mongo: Mongo, queue: Queue, outcomes: Outcomes) -> None:
    row = make_row(max_attempts=9)
    await queue.enqueue([row])
    pauses = []
    for _ in range(3):
        await change(mongo, row.id, due=now() - timedelta(seconds=1))
        await queue.abandon(await claimed(queue))
        await expire(mongo, row.id)
        await outcomes.sweep()
        pauses.append(((await stored(mongo, row.id)).due - now()).total_seconds())

    assert [round(pause / 20) for pause in pauses] == [1, 2, 4]


async def test_a_live_lease_is_left_alone(mongo: Mongo, queue: Queue, outcomes: Outcomes) -> None:
    await queue.enqueue([make_row()])
    lease = await claimed(queue)

    await outcomes.sweep()

    assert await stored(mongo, lease.row.id) == lease.row


async def test_a_run_whose_worker_died_in_every_attempt_fails_as_poison(
    mongo: Mongo, queue: Queue, outcomes: Outcomes, publisher: RememberingPublisher
) -> None:
    row = make_row(max_attempts=3)
    await queue.enqueue([row])
    for _ in range(3):
        await change(mongo, row.id, due=now() - timedelta(seconds=1))
        await claimed(queue)
        await expire(mongo, row.id)
        await outcomes.sweep()

    (event,) = publisher.events(row.job)
    assert event.type == "dev.darkroom.generation.failed.v1"
    assert event.data.model_dump()["reason"] == "poison"
    assert event.data.model_dump()["attempt"] == 3
    assert await queue.claim() is None


async def test_a_cancelled_run_whose_worker_died_is_cancelled(
    mongo: Mongo,
    queue: Queue,
    cancels: Cancels,
    outcomes: Outcomes,
    publisher: RememberingPublisher,
) -> None:
    row = make_row()
    await queue.enqueue([row])
    await claimed(queue)
    await cancels.request(row.id, row.job, row.project, "no longer wanted")
    await expire(mongo, row.id)

    await outcomes.sweep()

    (event,) = publisher.events(row.job)
    assert event.type == "dev.darkroom.generation.cancelled.v1"
    assert event.data.model_dump()["reason"] == "no longer wanted"


# cancels


async def test_a_cancel_that_overtakes_its_request_is_found_by_it(
    mongo: Mongo,
    queue: Queue,
    cancels: Cancels,
    outcomes: Outcomes,
    publisher: RememberingPublisher,
) -> None:
    row = make_row(run_number=2, flow_id=uuid4())
    early = await cancels.request(row.id, row.job, row.project, "too late")
    assert early is not None
    assert early.state is RowState.OVERTAKEN

    (overtaken,) = await queue.enqueue([row])
    assert await queue.claim() is None
    await outcomes.cancel_unleased(overtaken)

    (event,) = publisher.events(row.job)
    assert event.type == "dev.darkroom.generation.cancelled.v1"
    data = event.data.model_dump()
    assert (data["reason"], data["run_number"]) == ("too late", 2)
    assert data["flow_id"] == row.flow_id
    assert await queue.enqueue([row]) == []
    assert (await stored(mongo, row.id)).state is RowState.DONE


async def test_another_project_can_cancel_neither_a_run_nor_one_to_come(
    mongo: Mongo, queue: Queue, cancels: Cancels
) -> None:
    there, to_come = make_row(), make_row()
    await queue.enqueue([there])

    assert await cancels.request(there.id, there.job, "other", "mine now") is None
    assert await cancels.request(there.id, uuid4(), there.project, "wrong job") is None
    await cancels.request(to_come.id, to_come.job, "other", "mine now")
    assert await queue.enqueue([to_come]) == []

    assert await stored(mongo, there.id) == there
    assert await stored(mongo, to_come.id) == to_come


async def test_a_request_and_its_cancel_that_race_never_run(
    queue: Queue, decisions: Decisions, cancels: Cancels
) -> None:
    """Two generators take in the two commands; whoever comes second finds the other."""
    for _ in range(50):
        row = make_row()

        overtaken, flagged = await asyncio.gather(
            queue.enqueue([row]), cancels.request(row.id, row.job, row.project, "race")
        )

        assert flagged is not None
        assert flagged.cancel
        assert [row.id for row in overtaken] == [row.id] or flagged.state is RowState.READY
        await decisions.cancel_unleased(flagged, run_events.cancelled(row, "race"))
        assert await queue.claim() is None


async def test_a_cancel_that_names_no_run_means_the_latest(queue: Queue, cancels: Cancels) -> None:
    job = uuid4()
    runs = [make_row(id=uuid4(), job=job, run_number=number) for number in (1, 3, 2)]
    await queue.enqueue(runs)

    assert await cancels.current_run(job, "demo") == runs[1].id
    assert await cancels.current_run(job, "other") is None


# after


async def test_a_run_waits_until_all_jobs_before_it_have_succeeded(
    queue: Queue, outcomes: Outcomes
) -> None:
    first, second = make_row(vft=1.0), make_row(vft=2.0)
    final = make_row(after=(first.job, second.job))
    await queue.enqueue([final, first, second])

    for _ in range(2):
        lease = await claimed(queue)
        assert lease.row.id != final.id
        await outcomes.commit(lease, completed(lease.row))

    assert (await claimed(queue)).row.id == final.id


async def test_a_run_whose_predecessor_has_ended_before_it_came_is_ready_at_once(
    queue: Queue, outcomes: Outcomes
) -> None:
    first = make_row()
    await queue.enqueue([first])
    lease = await claimed(queue)
    await outcomes.commit(lease, completed(lease.row))
    final = make_row(after=(first.job,))

    await queue.enqueue([final])

    assert (await claimed(queue)).row.id == final.id


async def test_runs_that_wait_for_a_failed_job_are_cancelled_down_the_chain(
    queue: Queue, outcomes: Outcomes, publisher: RememberingPublisher
) -> None:
    first = make_row()
    second = make_row(after=(first.job,))
    third = make_row(after=(second.job, uuid4()))
    await queue.enqueue([third, second, first])
    lease = await claimed(queue)

    await outcomes.commit(lease, run_events.failed(lease.row, "out_of_memory", ""))

    assert publisher.kinds(second.job) == ["cancelled"]
    assert publisher.kinds(third.job) == ["cancelled"]
    assert await queue.claim() is None


@pytest.mark.parametrize("succeeded", [True, False])
async def test_the_sweep_settles_what_a_process_that_died_left_waiting(
    queue: Queue,
    decisions: Decisions,
    outcomes: Outcomes,
    publisher: RememberingPublisher,
    succeeded: bool,
) -> None:
    first = make_row()
    final = make_row(after=(first.job,))
    await queue.enqueue([final, first])
    lease = await claimed(queue)
    failed = run_events.failed(lease.row, "x", "")
    assert await decided(decisions, lease, completed(lease.row) if succeeded else failed)
    assert await queue.claim() is None

    await outcomes.sweep()

    assert publisher.kinds(final.job) == ([] if succeeded else ["cancelled"])
    again = await queue.claim()
    assert (again is not None and again.row.id == final.id) is succeeded


async def test_the_sweep_frees_a_run_that_lost_its_last_wait_just_before_a_crash(
    mongo: Mongo, queue: Queue, outcomes: Outcomes
) -> None:
    final = make_row(after=(uuid4(),))
    await queue.enqueue([final])
    await change(mongo, final.id, after=[])

    await outcomes.sweep()

    assert (await claimed(queue)).row.id == final.id


async def test_the_net_reaches_every_waiting_run(
    mongo: Mongo, queue: Queue, decisions: Decisions, outcomes: Outcomes
) -> None:
    hopeless = [make_row(after=(uuid4(),)) for _ in range(600)]
    await queue.enqueue(hopeless)
    first = make_row()
    final = make_row(after=(first.job,))
    await queue.enqueue([first, final])
    lease = await claimed(queue)
    assert await decided(decisions, lease, completed(lease.row))

    await outcomes.sweep()

    assert (await claimed(queue)).row.id == final.id
