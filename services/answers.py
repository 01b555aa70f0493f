"""A request with an Idempotency-Key -> one answer, whoever of several processes gives it.

Jobs keep their keys themselves, in the write that makes them; this is for everything else.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID, uuid4

from pydantic import Field
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from schemas.common import Time, Value, now
from schemas.jobs import Idempotency
from services.errors import DarkroomError, IdempotencyMismatch
from services.mongo import Mongo
from services.redelivery import kept_up

ABANDONED_AFTER: Final = timedelta(seconds=15)  #: its process has died
RENEWED_EVERY: Final = timedelta(seconds=5)
LOOK_EVERY: Final = 0.05  #: seconds, at the answer that another is about to give


class Answer(Value):
    status_code: int
    headers: dict[str, str] = Field(default_factory=dict)
    body: bytes


class Remembered(Value):
    """The document in `answers`; MongoDB deletes it once its day is over."""

    id: str = Field(alias="_id")
    request_sha256: str
    thing: UUID  #: the id of whatever the request makes, the same for whoever tries again
    claimed_until: Time
    expires_at: Time
    answer: Answer | None = None


class Answers:
    def __init__(self, mongo: Mongo) -> None:
        self._answers = mongo.answers

    async def once(
        self, idempotency: Idempotency, make: Callable[[UUID], Awaitable[Answer]]
    ) -> tuple[Answer, bool]:
        """What `make` answers, and whether it had been answered before.

        `make` gets the id for what it makes; after a death or an outage half way it is called
        again with the same one, and must then find what is there. Refusals are not remembered.
        Raise `IdempotencyMismatch` for another request under the same key.
        """
        while True:
            claim, ours = await self._claim(idempotency)
            if claim.request_sha256 != idempotency.request_sha256:
                raise IdempotencyMismatch
            if claim.answer is not None:
                return claim.answer, True
            if ours:
                return await self._make(claim, make), False
            await asyncio.sleep(LOOK_EVERY)

    async def _make(self, claim: Remembered, make: Callable[[UUID], Awaitable[Answer]]) -> Answer:
        try:
            async with self._renewed(claim):
                answer = await make(claim.thing)
        except DarkroomError:
            await self._answers.delete_one({"_id": claim.id, "answer": None})
            raise
        await self._answers.update_one({"_id": claim.id}, {"$set": {"answer": answer.model_dump()}})
        return answer

    @asynccontextmanager
    async def _renewed(self, claim: Remembered) -> AsyncIterator[None]:
        """However long it takes, nobody else takes it for abandoned."""

        async def renew() -> None:
            await asyncio.sleep(RENEWED_EVERY.total_seconds())
            until = {"claimed_until": now() + ABANDONED_AFTER}
            await self._answers.update_one({"_id": claim.id, "answer": None}, {"$set": until})

        renewing = asyncio.create_task(kept_up(renew, "answers", timedelta()))
        try:
            yield
        finally:
            renewing.cancel()

    async def _claim(self, idempotency: Idempotency) -> tuple[Remembered, bool]:
        """As it is stored, and whether it is ours to answer."""
        moment = now()
        until = moment + ABANDONED_AFTER
        fresh = Remembered(
            id=_name(idempotency),
            request_sha256=idempotency.request_sha256,
            thing=uuid4(),
            claimed_until=until,
            expires_at=idempotency.expires_at,
        )
        over = {"_id": fresh.id, "expires_at": {"$lte": moment}}
        await self._answers.delete_one(over)  # the server deletes them, but not at once
        try:
            await self._answers.insert_one(fresh.model_dump(by_alias=True))
        except DuplicateKeyError:
            pass
        else:
            return fresh, True
        abandoned = {
            "_id": fresh.id,
            "request_sha256": fresh.request_sha256,
            "answer": None,
            "claimed_until": {"$lte": moment},
        }
        taken = await self._answers.find_one_and_update(
            abandoned, {"$set": {"claimed_until": until}}, return_document=ReturnDocument.AFTER
        )
        if taken is not None:
            return Remembered.model_validate(taken), True
        found = await self._answers.find_one({"_id": fresh.id})
        if found is None:  # whoever had it was refused
            return await self._claim(idempotency)
        return Remembered.model_validate(found), False


def _name(idempotency: Idempotency) -> str:
    return sha256(f"{idempotency.scope}\n{idempotency.key}".encode()).hexdigest()
