"""API keys: shown once, stored as keyed hashes, looked up by id at every request."""

import hmac
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo.errors import DuplicateKeyError

from schemas.common import ProjectId, Value, now
from schemas.jobs import Idempotency
from schemas.keys import DEFAULT_LIMIT, Key, KeyFacts, Limit, Scope
from schemas.library_events import KeyCreated, KeyRevoked
from services.batching import Batched
from services.errors import Forbidden, KeyEnded, KeyNotFound, Unauthorized
from services.issuance import CreatedKey, Issuance
from services.key_texts import id_in
from services.library.feed import Change, Feed, change
from services.mongo import Document, Mongo, Session
from services.signing import Signer

Write = Callable[[Session], Coroutine[Any, Any, None]]

TOUCH_EVERY: Final = timedelta(minutes=1)  #: `last_used_at` is no finer than this
AT_ONCE: Final = timedelta()


class Caller(Value):
    """Who asks: a project, and the user of it whom a JWT names."""

    project: ProjectId
    owner: str | None = None
    key_id: str | None = None
    scopes: tuple[Scope, ...] = ("full",)
    limit: Limit | None = None

    def require(self, *scopes: Scope) -> None:
        """Raise `Forbidden` unless the caller has one of `scopes`; "full" is all of them."""
        if "full" not in self.scopes and not set(scopes) & set(self.scopes):
            raise Forbidden


class Keys:
    """The keys of every project."""

    def __init__(self, mongo: Mongo, signer: Signer, feed: Feed | None = None) -> None:
        """`feed` is the one of its process: who shares it waits instead of colliding."""
        self._keys = mongo.keys
        self._feed = feed or Feed(mongo)
        self._issuance = Issuance(mongo.keys, signer)
        self._signer = signer
        self._look_up = Batched(self._found)
        self._touched: dict[str, datetime] = {}

    async def create(  # noqa: PLR0913 - what a key is
        self,
        project: str,
        name: str = "",
        *,
        limit: str | None = DEFAULT_LIMIT,
        scopes: Sequence[Scope] = ("full",),
        expires_in: timedelta | None = None,
        idempotency: Idempotency | None = None,
    ) -> CreatedKey:
        """The key, or the one that the same Idempotency-Key has made; or `IdempotencyMismatch`."""
        moment = now()
        facts = KeyFacts(
            project=project,
            name=name,
            scopes=tuple(scopes),
            limit=limit,
            created_at=moment,
            expires_at=moment + expires_in if expires_in else None,
        )
        created = self._issuance.drawn(facts, idempotency)

        async def insert(session: Session) -> None:
            await self._insert(created.stored, session)
            await self._feed.record(session, project, _created(created.stored))

        return await self._once(created, insert)

    async def rotate(
        self,
        key_id: str,
        project: str | None = None,
        *,
        overlap: timedelta = AT_ONCE,
        idempotency: Idempotency | None = None,
    ) -> CreatedKey:
        """A new key with the rights, and the time to live, of one that ends after `overlap`.

        Raise `KeyNotFound`, `KeyEnded` for one that has ended or has its successor already, or
        `IdempotencyMismatch`.
        """
        old = await self._known(key_id, project)
        moment = now()
        expires = None if old.expires_at is None else moment + (old.expires_at - old.created_at)
        times = {"created_at": moment, "expires_at": expires}
        facts = KeyFacts.model_validate(old.model_dump() | times)
        created = self._issuance.drawn(facts, idempotency)
        end = min(filter(None, (old.expires_at, moment + overlap)))
        stopped = {"revoked_at": moment} if end == moment else {"expires_at": end}

        async def replace(session: Session) -> None:
            replaced = await self._keys.update_one(
                {"_id": old.id, "successor": None, **_usable(moment)},
                {"$set": {**stopped, "successor": created.id}},
                session=session,
            )
            if not replaced.matched_count:
                raise KeyEnded
            await self._insert(created.stored, session)
            told = (_created(created.stored), _revoked(old, end))
            await self._feed.record(session, old.project, *told)

        return await self._once(created, replace)

    async def revoke(self, key_id: str, project: str | None = None) -> Key:
        """Stop the key at once and for good; again changes nothing. Raise `KeyNotFound`."""
        key = await self._known(key_id, project)
        moment = now()

        async def stop(session: Session) -> None:
            stopped = await self._keys.update_one(
                {"_id": key_id, "revoked_at": None},
                {"$set": {"revoked_at": moment}},
                session=session,
            )
            if stopped.matched_count:
                await self._feed.record(session, key.project, _revoked(key, moment))

        await self._feed.transaction(key.project, stop)
        return await self._known(key_id, project)

    async def ls(
        self, project: str | None = None, limit: int = 0, offset: int = 0
    ) -> tuple[Key, ...]:
        """Newest first, all where `limit` is 0; those of every project when none is named."""
        chosen = {} if project is None else {"project": project}
        found = self._keys.find(chosen).sort([("created_at", -1), ("_id", 1)])
        return tuple([Key.model_validate(each) async for each in found.skip(offset).limit(limit)])

    async def count(self, project: str) -> int:
        return await self._keys.count_documents({"project": project})

    async def find(self, key_id: str) -> Key | None:
        """As it is now: a look-up never starts before it is asked for, even when shared."""
        return await self._look_up(key_id)

    async def authenticate(self, text: str | None) -> Caller:
        """The caller that the API key `text` stands for, or `Unauthorized`."""
        key_id = id_in(text)
        return await self.verified(text, await self.find(key_id) if key_id else None)

    async def verified(self, text: str | None, key: Key | None) -> Caller:
        """As `authenticate`, where `key` is what has the id in `text` now."""
        if text is None:
            raise Unauthorized
        # an unknown id costs a comparison too, so that time tells nothing
        stored = key.hash if key else "0" * 64
        genuine = hmac.compare_digest(stored, self._signer.digest(text))
        moment = now()
        if key is None or not genuine or not key.usable(moment):
            raise Unauthorized
        await self._touch(key, moment)
        return Caller(project=key.project, key_id=key.id, scopes=key.scopes, limit=key.limit)

    async def _once(self, created: CreatedKey, write: Write) -> CreatedKey:
        """Do `write`, which inserts the key, unless its Idempotency-Key had it done before."""
        idempotency = created.stored.idempotency
        while True:
            if idempotency and (before := await self._issuance.replayed(idempotency)):
                return before
            with suppress(DuplicateKeyError):  # the same Idempotency-Key at the same time
                await self._feed.transaction(created.project, write)
                return created

    async def _insert(self, key: Key, session: Session) -> None:
        await self._keys.insert_one(key.model_dump(by_alias=True), session=session)

    async def _known(self, key_id: str, project: str | None) -> Key:
        key = await self.find(key_id)
        if key is None or project not in (None, key.project):
            raise KeyNotFound
        return key

    async def _found(self, key_ids: Sequence[str]) -> Sequence[Key | None]:
        cursor = self._keys.find({"_id": one_of(set(key_ids))})
        documents = await cursor.to_list(None)
        found = {document["_id"]: Key.model_validate(document) for document in documents}
        return [found.get(key_id) for key_id in key_ids]

    async def _touch(self, key: Key, moment: datetime) -> None:
        last = max(filter(None, (key.last_used_at, self._touched.get(key.id))), default=None)
        if last is not None and moment - last < TOUCH_EVERY:
            return
        self._touched[key.id] = moment
        await self._keys.update_one({"_id": key.id}, {"$max": {"last_used_at": moment}})


def one_of(ids: Collection[object]) -> object:
    """What an `_id` must be; one alone is looked up without a plan, in two thirds of the time."""
    (alone, *others) = ids
    return {"$in": [alone, *others]} if others else alone


def _usable(moment: datetime) -> Document:
    """As `Key.usable`, for the server."""
    alive = [{"expires_at": None}, {"expires_at": {"$gt": moment}}]
    return {"revoked_at": None, "$or": alive}


def _created(key: Key) -> Change:
    """Neither secret nor name."""
    return change(KeyCreated, key.id, key_id=key.id, scopes=key.scopes, expires_at=key.expires_at)


def _revoked(key: Key, end: datetime) -> Change:
    return change(KeyRevoked, key.id, key_id=key.id, scopes=key.scopes, expires_at=end)
