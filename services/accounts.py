"""API keys: shown once, stored as keyed hashes, looked up by id at every request.

A key reads `dk_<id>_<secret>`: the prefix lets scanners find leaked ones, the id is public.
"""

import hmac
import re
import secrets
import string
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.common import ProjectId, Text, Time, Value, now
from services.batching import Batched
from services.errors import Forbidden, NotFound, Unauthorized
from services.mongo import Document, Mongo
from services.signing import Signer

Scope = Literal["full", "read", "live"]
Limit = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$")]
KeyName = Annotated[Text, Field(max_length=200)]

DEFAULT_LIMIT: Final = "100/hour"
TOUCH_EVERY: Final = timedelta(minutes=1)  #: `last_used_at` is no finer than this

_BASE62 = string.digits + string.ascii_letters
_ID_LENGTH = 12
_SECRET_LENGTH = 43  # 62^43 > 2^256
_KEY = re.compile(rf"dk_([0-9A-Za-z]{{{_ID_LENGTH}}})_[0-9A-Za-z]{{{_SECRET_LENGTH}}}")


class Key(Value):
    """The document in `keys`; `hash` is HMAC-SHA256 of the key under the master secret."""

    id: str = Field(alias="_id")
    hash: str = Field(repr=False)
    project: ProjectId
    name: KeyName = ""
    scopes: tuple[Scope, ...] = ("full",)
    limit: Limit | None = DEFAULT_LIMIT
    created_at: Time = Field(default_factory=now)
    expires_at: Time | None = None
    revoked_at: Time | None = None
    last_used_at: Time | None = None

    @property
    def prefix(self) -> str:
        """What a list shows of a key."""
        return f"dk_{self.id}"

    def usable(self, moment: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or moment < self.expires_at)


class CreatedKey(Value):
    """A new key with its secrets, which are never shown again."""

    id: str
    key: str
    signing_key_id: str  #: names the key in the `darkroom-signature` header
    signing_secret: str
    project: ProjectId
    limit: Limit | None


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

    def __init__(self, mongo: Mongo, signer: Signer) -> None:
        self._keys = mongo.keys
        self._signer = signer
        self._look_up = Batched(self._found)
        self._touched: dict[str, datetime] = {}

    async def create(
        self,
        project: str,
        name: str = "",
        *,
        limit: str | None = DEFAULT_LIMIT,
        scopes: Sequence[Scope] = ("full",),
        expires_in: timedelta | None = None,
    ) -> CreatedKey:
        key_id, text = _drawn_key()
        created = now()
        key = Key(
            id=key_id,
            hash=self._signer.digest(text),
            project=project,
            name=name,
            scopes=tuple(scopes),
            limit=limit,
            created_at=created,
            expires_at=created + expires_in if expires_in else None,
        )
        await self._keys.insert_one(key.model_dump(by_alias=True))
        return CreatedKey(
            id=key_id,
            key=text,
            signing_key_id=key_id,
            signing_secret=self._signer.secret(key_id),
            project=project,
            limit=limit,
        )

    async def ls(self, project: str | None = None) -> tuple[Key, ...]:
        """Newest first; those of every project when none is named."""
        chosen = {} if project is None else {"project": project}
        found = self._keys.find(chosen).sort([("created_at", -1), ("_id", 1)])
        return tuple([Key.model_validate(document) async for document in found])

    async def find(self, key_id: str) -> Key | None:
        """As it is now: a look-up never starts before it is asked for, even when shared."""
        return await self._look_up(key_id)

    async def _found(self, key_ids: Sequence[str]) -> Sequence[Key | None]:
        cursor = self._keys.find({"_id": {"$in": list(set(key_ids))}})
        documents = await cursor.to_list(None)
        found = {document["_id"]: Key.model_validate(document) for document in documents}
        return [found.get(key_id) for key_id in key_ids]

    async def revoke(self, key_id: str, project: str | None = None) -> Key:
        """Stop the key at once and for good; again changes nothing. Raise `NotFound`."""
        chosen: Document = {"_id": key_id} | ({"project": project} if project else {})
        await self._keys.update_one({**chosen, "revoked_at": None}, {"$set": {"revoked_at": now()}})
        document = await self._keys.find_one(chosen)
        if document is None:
            raise NotFound(f"There is no key {key_id}")
        return Key.model_validate(document)

    async def authenticate(self, text: str | None) -> Caller:
        """The caller that the API key `text` stands for, or `Unauthorized`."""
        matched = _KEY.fullmatch(text or "")
        if text is None or matched is None:
            raise Unauthorized
        key = await self.find(matched[1])
        # an unknown id costs a comparison too, so that time tells nothing
        stored = key.hash if key else "0" * 64
        genuine = hmac.compare_digest(stored, self._signer.digest(text))
        moment = now()
        if key is None or not genuine or not key.usable(moment):
            raise Unauthorized
        await self._touch(key, moment)
        return Caller(project=key.project, key_id=key.id, scopes=key.scopes, limit=key.limit)

    async def _touch(self, key: Key, moment: datetime) -> None:
        last = max(filter(None, (key.last_used_at, self._touched.get(key.id))), default=None)
        if last is not None and moment - last < TOUCH_EVERY:
            return
        self._touched[key.id] = moment
        await self._keys.update_one({"_id": key.id}, {"$max": {"last_used_at": moment}})


def _drawn_key() -> tuple[str, str]:
    key_id = "".join(secrets.choice(_BASE62) for _ in range(_ID_LENGTH))
    secret = "".join(secrets.choice(_BASE62) for _ in range(_SECRET_LENGTH))
    return key_id, f"dk_{key_id}_{secret}"
