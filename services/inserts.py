"""Jobs in -> their documents, all or none, together with what they claim of the library."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from pymongo.errors import BulkWriteError, WriteError, WTimeoutError

from schemas.jobs import Job
from schemas.topics import GENERATION_COMMANDS
from services.batching import Batched
from services.dispatch import command_of
from services.errors import BodyTooLarge, DarkroomError
from services.library.claims import Claims, claims
from services.library.feed import Change, Feed
from services.library.references import References
from services.mongo import Document, Mongo, Session

COMMAND_LIMIT: Final = GENERATION_COMMANDS.max_message_bytes - 4096  #: its headers are smaller


class Inserted(NamedTuple):
    jobs: Sequence[Job]
    command: bytes


class Inserts:
    def __init__(self, mongo: Mongo, feed: Feed) -> None:
        self._mongo = mongo
        self._feed = feed
        self._references = References(mongo)
        self._claims = Claims(mongo)
        self._insert_alone = Batched(self._insert_together, at_once=2)

    async def insert(self, jobs: Sequence[Job], begun: Collection[UUID]) -> Inserted | None:
        """None when their Idempotency-Key is taken; `begun` are the flows that begin with them."""
        try:
            if any(map(claims, jobs)):
                return await self._with_claims(jobs, begun)
            inserted = Inserted(jobs, encoded(jobs))
            await self._plainly([job_document(job) for job in jobs])
        except (WriteError, BulkWriteError) as error:
            if not _takes_a_key(error):
                raise
            return None
        return inserted

    async def insert_missing(self, jobs: Sequence[Job]) -> tuple[Sequence[Job], Sequence[Job]]:
        """Jobs as they are stored, and those of them that were not there before.

        A redelivered command finds its own; its names are not resolved a second time. Those that
        were purged stay away: a job or its tombstone is in whatever moment the transaction sees.
        """

        async def work(session: Session) -> tuple[Sequence[Job], Sequence[Job]]:
            these = {"_id": {"$in": [job.id for job in jobs]}}
            found = await self._mongo.jobs.find(these, session=session).sort("_id", 1).to_list(None)
            stored = {each["_id"]: Job.model_validate(each) for each in found}
            gone = self._mongo.purged_jobs.find(these, {"_id": 1}, session=session)
            known = {*stored, *(each["_id"] for each in await gone.to_list(None))}
            new = [job for job in jobs if job.id not in known]
            inserted = await self._claiming(session, new, (), "/data/jobs/{}") if new else ()
            stored |= {job.id: job for job in inserted}
            return [stored[job.id] for job in jobs if job.id in stored], inserted

        return await self._feed.transaction(jobs[0].project, work)

    async def _with_claims(self, jobs: Sequence[Job], begun: Collection[UUID]) -> Inserted:
        async def work(session: Session) -> Inserted:
            inserted = await self._claiming(session, jobs, begun)
            return Inserted(inserted, encoded(inserted))

        return await self._feed.transaction(jobs[0].project, work)

    async def _claiming(
        self, session: Session, jobs: Sequence[Job], begun: Collection[UUID], place: str = ""
    ) -> Sequence[Job]:
        """One after the other: a name that an earlier one has claimed leads the later one to it."""
        inserted: list[Job] = []
        changes: list[Change] = []
        for index, job in enumerate(jobs):
            try:
                resolved = await self._references.resolve(session, job)
                await self._mongo.jobs.insert_one(job_document(resolved), session=session)
                changes += await self._claims.take(session, resolved, begun)
            except DarkroomError as error:
                error.pointer = place.format(index) + error.pointer
                raise
            inserted.append(resolved)
        await self._feed.record(session, jobs[0].project, *changes)
        return inserted

    async def _plainly(self, documents: list[Document]) -> None:
        async def insert_all(session: Session) -> None:
            await self._mongo.jobs.insert_many(documents, session=session)

        if len(documents) == 1:
            await self._insert_alone(documents[0])
        else:
            await self._mongo.transaction(insert_all)

    async def _insert_together(
        self, documents: Sequence[Document]
    ) -> Sequence[Document | Exception]:
        """Of many submits, each for itself: a journaled write costs the same for one and for 30."""
        try:
            await self._mongo.jobs.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if error.details["writeConcernErrors"]:
                raise WTimeoutError("no majority has acknowledged the write") from error
            refused = {failure["index"]: failure for failure in error.details["writeErrors"]}
            return [
                WriteError(refused[n]["errmsg"], refused[n]["code"], refused[n])
                if n in refused
                else document
                for n, document in enumerate(documents)
            ]
        return documents


def encoded(jobs: Sequence[Job]) -> bytes:
    """The command of `jobs`, or `BodyTooLarge`."""
    command = command_of(jobs).encode()
    if len(command) > COMMAND_LIMIT:
        raise BodyTooLarge(f"A request may take {COMMAND_LIMIT:,} bytes as a command")
    return command


def job_document(job: Job) -> Document:
    """What is inserted in `jobs`: nothing that is absent takes a field."""
    return job.model_dump(by_alias=True, exclude_none=True)


def _takes_a_key(error: WriteError | BulkWriteError) -> bool:
    details = error.details or {}
    failures = details.get("writeErrors") or [details]
    return any("idempotency.key" in failure.get("keyPattern", {}) for failure in failures)
