"""What makes up for a death, taken away: a row of the table has to fail without its mechanism."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

from schemas.jobs import Job
from schemas.queue import Outcome, QueueRow
from schemas.topics import GENERATION_EVENTS
from services import dead_letters, inserts, intake, projection_documents
from services.cancels import Cancels
from services.decisions import Decisions
from services.dispatch import Dispatch
from services.mongo import Document, Mongo
from services.object_store import S3ObjectStore
from services.outbox import Outbox
from services.outcomes import Outcomes
from services.projection_store import ProjectionStore
from services.queue import Lease, Queue
from services.queue_rows import row_document
from services.successors import Successors
from tests.connected.crash_world import Process

Without = Callable[[], AbstractContextManager[object]]


def _instead(target: Any, name: str, other: Any) -> Without:
    return partial(patch.object, target, name, other)


async def _nothing(*_: object) -> None:
    return


def _no(*_: object) -> bool:
    return False


def _all(before: object, after: dict[Any, Any]) -> list[Any]:
    return list(after)


async def _none(*_: object) -> list[Any]:
    return []


def _unkeyed(job: Job, original: Callable[[Job], Document] = inserts.job_document) -> Document:
    document = original(job)
    document.pop("idempotency", None)
    return document


async def _apart(self: Mongo, work: Callable[[Any], Any]) -> Any:
    return await work(None)


async def _marked_first(
    self: Any,
    jobs: Sequence[Job],
    command: bytes,
    publish: Any = Dispatch.publish_encoded,
) -> None:
    ids = [job.id for job in jobs]
    await self._jobs.update_many({"_id": {"$in": ids}}, {"$set": {"published": True}})
    await publish(self, jobs, command)


async def _offsets_first(self: Process, records: Sequence[Any]) -> None:
    await self.commit_offsets()
    await self.intake.take_in(records)


async def _overwriting(self: Any, rows: Sequence[QueueRow], enqueue: Any = Queue.enqueue) -> Any:
    for row in rows:
        document = row_document(row)
        await self._rows.update_one({"_id": document.pop("_id")}, {"$set": document}, upsert=True)
    return await enqueue(self, rows)


def _any_job(*_: object) -> UUID:
    return uuid4()


def _any_id(*_: object) -> str:
    return str(uuid4())


async def _uncounted_claim(
    self: Any, full: Sequence[str] = (), claim: Any = Queue.claim
) -> Lease | None:
    lease: Lease | None = await claim(self, full)
    if lease is not None:
        await self._rows.update_one({"_id": lease.row.id}, {"$set": {"attempt": 1}})
        lease = Lease(row=lease.row.model_copy(update={"attempt": 1}))
    return lease


async def _claim_without_a_look(
    self: Any, full: Sequence[str] = (), claim: Any = Queue.claim
) -> Lease | None:
    lease: Lease | None = await claim(self, full)
    if lease is not None:
        await self._rows.update_one({"_id": lease.row.id}, {"$set": {"cancel": False}})
        lease = Lease(row=lease.row.model_copy(update={"cancel": False}))
    return lease


async def _unnoted(*_: object) -> bool:
    return True


async def _told_anew(self: Any, row: QueueRow, outcome: Outcome) -> None:
    event = json.loads(outcome.event) | {"id": str(uuid4())}
    await self._publisher.publish(GENERATION_EVENTS, str(row.job), json.dumps(event).encode())
    await self._decisions.published(row.id)


async def _delete_what_is_there(self: Any, key: str, delete: Any = S3ObjectStore.delete) -> None:
    await self.head(key)  # raises NotFound
    await delete(self, key)


async def _from_the_start(
    self: Any, partitions: Any, known: Any = ProjectionStore.positions
) -> Any:
    asked = list(partitions)
    await known(self, asked)
    self._next.update(dict.fromkeys(asked, 0))
    return dict.fromkeys(asked, 0)


async def _offsets_before_the_fold(
    self: Any, records: Any, outcomes: Any, write: Any = ProjectionStore._write
) -> Any:
    move = self._move_offsets
    await move({record.partition: record.offset + 1 for record in records})
    with patch.object(self, "_move_offsets", _nothing):
        return await write(self, records, outcomes)


@contextmanager
def a_repeat_is_no_news() -> Iterator[None]:
    """Neither are states compared nor pictures known again."""
    with (
        patch.object(projection_documents, "_changed", _all),
        patch.object(projection_documents, "_only_repeats", _no),
    ):
        yield


the_unique_key = _instead(inserts, "job_document", _unkeyed)
the_outbox = _instead(Outbox, "republish", _nothing)
one_transaction = _instead(Mongo, "transaction", _apart)
marking_last = _instead(Dispatch, "publish_encoded", _marked_first)
offsets_last = _instead(Process, "handle", _offsets_first)
inserting_once = _instead(Queue, "enqueue", _overwriting)
one_job_a_command = _instead(intake, "second_door_job", _any_job)
one_id_a_rejection = _instead(intake, "event_id", _any_id)
one_id_a_letter = _instead(dead_letters, "event_id", _any_id)
finding_the_stub = _instead(Cancels, "overtaken", _none)
looking_at_the_claim = _instead(Queue, "claim", _claim_without_a_look)
expiry = _instead(Queue, "take_expired", _nothing)
counting_at_the_claim = _instead(Queue, "claim", _uncounted_claim)
noting_uploads = _instead(Queue, "note_uploads", _unnoted)
publishing_what_is_not = _instead(Decisions, "unpublished", _none)
the_stored_bytes = _instead(Outcomes, "_publish", _told_anew)
settling_what_waits = _instead(Successors, "settle_waiting", _none)
deleting_twice = _instead(S3ObjectStore, "delete", _delete_what_is_there)
folding_first = _instead(ProjectionStore, "_write", _offsets_before_the_fold)
the_stored_offsets = _instead(ProjectionStore, "positions", _from_the_start)
