"""A wanted picture -> the one that is kept, or the one job that makes it, whoever else asks.

A picture is kept as long as its job has one that is not deleted: whoever deletes it, or asks for
the generation again, changes what the cache has. A key is claimed in the transaction that inserts
its job, so of any number of misses on any number of replicas one makes a picture.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final
from weakref import WeakValueDictionary

import uuid_utils.compat
from pymongo.errors import DuplicateKeyError

from schemas.common import ProjectId, Text, Value, now
from schemas.images import Image
from schemas.jobs import Dialect, GenerationSpec, Job, Status
from schemas.live import LivePicture, LiveUrl
from services import metrics
from services.dispatch import Dispatch
from services.engine.catalogue import Catalogue
from services.errors import NotMade
from services.inserts import job_document
from services.library.leads import KEPT
from services.live.hits import Hits
from services.live.keys import cache_key
from services.live.urls import charge
from services.mongo import Mongo, Session
from services.settled import settled

FIRST_PAUSE: Final = timedelta(seconds=10)  #: after a failed job; doubles with each in a row
LONGEST_PAUSE: Final = timedelta(minutes=10)


class Wanted(Value):
    """A picture; its prompt is taken as it is written: no name in it leads to another picture."""

    project: ProjectId
    spec: GenerationSpec  #: settled, but for a seed that nobody chose
    aspect_ratio: Text
    url: LiveUrl | None = None  #: the signed one that asks
    traceparent: str | None = None
    estimated_seconds: float | None = None

    @property
    def key(self) -> str:
        return cache_key(self.project, self.spec)


class Kept(Value):
    image: Image
    hits: int  #: with this one; those of other processes are a moment late


class Seen(Value):
    """A key's claim and its job, as they were when somebody looked."""

    claim: LivePicture | None = None
    job: Job | None = None  #: None also when it is deleted

    @property
    def failed(self) -> bool:
        return self.job is not None and self.job.status in (Status.FAILED, Status.CANCELLED)

    def tried_again_at(self, job: Job) -> datetime:
        failures = self.claim.failures if self.claim else 0
        pause: timedelta = min(FIRST_PAUSE * 2 ** min(failures, 10), LONGEST_PAUSE)
        return (job.current.ended_at or job.requested_at) + pause


class Lost(Exception):
    """Somebody else has claimed the key meanwhile."""


class LiveCache:
    def __init__(self, mongo: Mongo, catalogue: Catalogue, dispatch: Dispatch) -> None:
        self._mongo = mongo
        self._catalogue = catalogue
        self._dispatch = dispatch
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.hits = Hits(mongo.live)

    async def kept(self, wanted: Wanted) -> Kept | None:
        """The picture that is there already, counted as a hit."""
        claim = await self._claim_of(wanted.key)
        image = await self._picture(claim) if claim else None
        if claim is None or image is None:
            return None
        return Kept(image=image, hits=claim.hits + self.hits.count(claim.id))

    async def job(self, wanted: Wanted) -> Job:
        """The job that makes the picture: the one under way, or a new one.

        Raises `NotMade` while the last one failed too short a time ago, `LiveUrlRefused` when the
        signed URL may make no more pictures. A broker that is away only delays the job.
        """
        turn = str(wanted.url.id) if wanted.url else wanted.key  # a URL's count is one document
        async with self._turns.setdefault(turn, asyncio.Lock()):
            job, begun = await self._joined_or_begun(wanted)
        if begun:
            metrics.accepted((job,))
            await self._dispatch.publish((job,))
        return job

    async def _joined_or_begun(self, wanted: Wanted) -> tuple[Job, bool]:
        while True:
            seen = await self._look(wanted.key)
            if seen.job is not None and await self._good(seen, seen.job):
                return seen.job, False
            job = self._job(wanted)
            if await self._begin(seen, wanted, job):
                return job, True

    def _job(self, wanted: Wanted) -> Job:
        job_id = uuid_utils.compat.uuid7()
        return Job(
            id=job_id,
            run=job_id,
            project=wanted.project,
            dialect=Dialect.STUDIO,
            spec=settled(wanted.spec, self._catalogue, job_id),
            aspect_ratio=wanted.aspect_ratio,
            traceparent=wanted.traceparent,
            estimated_seconds=wanted.estimated_seconds,
            meta={"live": str(wanted.url.id) if wanted.url else True},
        )

    async def _look(self, key: str) -> Seen:
        claim = await self._claim_of(key)
        if claim is None:
            return Seen()
        there = {"_id": claim.job_id, "deleted_at": None}
        document = await self._mongo.jobs.find_one(there)
        return Seen(claim=claim, job=Job.model_validate(document) if document else None)

    async def _good(self, seen: Seen, job: Job) -> bool:
        """Whether it makes, or has made, the picture; raise `NotMade` to those who ask too soon."""
        if not job.status.terminal:
            return True
        if seen.failed:
            left = (seen.tried_again_at(job) - now()).total_seconds()
            if left > 0:
                raise NotMade(retry_after=left)
            return False
        return seen.claim is not None and await self._picture(seen.claim) is not None

    async def _begin(self, seen: Seen, wanted: Wanted, job: Job) -> bool:
        """All or nothing: the key, the URL's count, the job. False when another was faster."""

        async def write(session: Session) -> None:
            await self._claim(session, seen, wanted, job)
            if wanted.url and (seen.claim is None or wanted.url.id not in seen.claim.urls):
                await charge(self._mongo, session, wanted.url)
            await self._mongo.jobs.insert_one(job_document(job), session=session)

        try:
            await self._mongo.transaction(write)
        except (DuplicateKeyError, Lost):
            return False
        return True

    async def _claim(self, session: Session, seen: Seen, wanted: Wanted, job: Job) -> None:
        urls = (wanted.url.id,) if wanted.url else ()
        if seen.claim is None:
            fresh = LivePicture(id=wanted.key, project=wanted.project, job_id=job.id, urls=urls)
            await self._mongo.live.insert_one(fresh.model_dump(by_alias=True), session=session)
            return
        failures = seen.claim.failures + 1 if seen.failed else 0
        facts = {"job_id": job.id, "failures": failures, "hits": 0, "claimed_at": now()}
        passed_on = await self._mongo.live.update_one(
            {"_id": wanted.key, "job_id": seen.claim.job_id},
            {"$set": facts, "$addToSet": {"urls": {"$each": list(urls)}}},
            session=session,
        )
        if not passed_on.matched_count:
            raise Lost

    async def _claim_of(self, key: str) -> LivePicture | None:
        document = await self._mongo.live.find_one({"_id": key})
        return LivePicture.model_validate(document) if document else None

    async def _picture(self, claim: LivePicture) -> Image | None:
        """The newest that its job has made, in whichever run."""
        made = {"job_id": claim.job_id, "project": claim.project, **KEPT}
        newest = [("created_at", -1)]
        document = await self._mongo.images.find_one(made, sort=newest)
        return Image.model_validate(document) if document else None
