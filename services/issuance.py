"""New keys: their text is drawn, shown once, and told again only to a repeated Idempotency-Key."""

from pydantic import Field

from schemas.common import ProjectId, Value, now
from schemas.jobs import Idempotency
from schemas.keys import Key, KeyFacts, Limit
from services.errors import IdempotencyMismatch
from services.key_texts import drawn_id, drawn_secret, key_text
from services.mongo import Collection
from services.signing import Signer


class CreatedKey(Value):
    """A new key with its secrets, which are never shown again."""

    id: str
    key: str = Field(repr=False)
    signing_key_id: str  #: names the key in the `darkroom-signature` header
    signing_secret: str = Field(repr=False)
    project: ProjectId
    limit: Limit | None
    stored: Key = Field(exclude=True)  #: what lists show of it
    replayed: bool = Field(default=False, exclude=True)  #: its Idempotency-Key had made it before


class Issuance:
    def __init__(self, keys: Collection, signer: Signer) -> None:
        self._keys = keys
        self._signer = signer

    def drawn(self, facts: KeyFacts, idempotency: Idempotency | None) -> CreatedKey:
        """Not stored yet. With an Idempotency-Key nobody but us can tell its secret again."""
        key_id = drawn_id()
        secret = self._secret(key_id, idempotency) if idempotency else drawn_secret()
        text = key_text(key_id, secret)
        key = Key(
            _id=key_id, hash=self._signer.digest(text), idempotency=idempotency, **dict(facts)
        )
        return self._created(key, text)

    async def replayed(self, idempotency: Idempotency) -> CreatedKey | None:
        """The key of the first time; None when the Idempotency-Key is free, or its day is over.

        Raise `IdempotencyMismatch` when it was used for another request.
        """
        used = {"idempotency.scope": idempotency.scope, "idempotency.key": idempotency.key}
        document = await self._keys.find_one(used)
        if document is None:
            return None
        key = Key.model_validate(document)
        assert key.idempotency is not None
        if key.idempotency.expires_at <= now():
            await self._keys.update_one({"_id": key.id, **used}, {"$set": {"idempotency": None}})
            return None
        if key.idempotency.request_sha256 != idempotency.request_sha256:
            raise IdempotencyMismatch
        text = key_text(key.id, self._secret(key.id, idempotency))
        return self._created(key, text).model_copy(update={"replayed": True})

    def _secret(self, key_id: str, idempotency: Idempotency) -> bytes:
        return self._signer.key_secret(key_id, idempotency.key)

    def _created(self, key: Key, text: str) -> CreatedKey:
        return CreatedKey(
            id=key.id,
            key=text,
            signing_key_id=key.id,
            signing_secret=self._signer.secret(key.id),
            project=key.project,
            limit=key.limit,
            stored=key,
        )
