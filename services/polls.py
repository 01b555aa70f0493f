"""A key and the job that is asked for with it -> who asks, and the job: one round trip for both.

Polls are the most frequent of all requests. Both documents are as they are after the question.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from schemas.jobs import Job
from schemas.keys import Key
from services.accounts import Caller, Keys, one_of
from services.batching import Batched
from services.key_texts import id_in
from services.mongo import Document, Mongo


class Asked(NamedTuple):
    key_id: str
    job: UUID


class Found(NamedTuple):
    key: Key | None
    job: Document | None  #: whoever may see it


class Polls:
    """The polls of whoever has a key."""

    def __init__(self, mongo: Mongo, keys: Keys) -> None:
        self._stored_keys = mongo.keys
        self._jobs = mongo.jobs.name
        self._keys = keys
        self._look = Batched(self._looked)

    async def job(self, text: str | None, job: UUID) -> tuple[Caller, Job | None]:
        """Raise `Unauthorized` whatever the job; what is not of the caller's project is None."""
        found = Found(None, None)
        if key_id := id_in(text):
            found = await self._look(Asked(key_id, job))
        caller = await self._keys.verified(text, found.key)
        if found.job is None or found.job["project"] != caller.project:
            return caller, None
        return caller, Job.model_validate(found.job)

    async def _looked(self, asked: Sequence[Asked]) -> Sequence[Found]:
        key_ids, jobs = ({*ids} for ids in zip(*asked, strict=True))
        these_jobs = {"coll": self._jobs, "pipeline": [{"$match": {"_id": one_of(jobs)}}]}
        cursor = await self._stored_keys.aggregate(
            [{"$match": {"_id": one_of(key_ids)}}, {"$unionWith": these_jobs}]
        )
        found = {document["_id"]: document for document in await cursor.to_list(None)}
        keys = {key_id: Key.model_validate(found[key_id]) for key_id in key_ids & found.keys()}
        return [Found(keys.get(each.key_id), found.get(each.job)) for each in asked]
