"""Ports that die: after the n-th write nothing of their process reaches the world any more."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from pymongo.results import DeleteResult, UpdateResult

from schemas.topics import Topic
from services.broker import Publisher
from services.mongo import Mongo, Session
from services.object_store import S3ObjectStore

T = TypeVar("T")

WRITES: Final = frozenset(
    {
        "bulk_write",
        "delete_many",
        "delete_one",
        "find_one_and_update",
        "insert_many",
        "insert_one",
        "replace_one",
        "update_many",
        "update_one",
    }
)
COLLECTIONS: Final = (
    "aliases",
    "disturbances",
    "feeds",
    "flows",
    "images",
    "jobs",
    "library_outbox",
    "offsets",
    "purged_jobs",
    "quarantine",
    "queue",
    "removals",
    "tenants",
    "uploads",
)


class Crash(BaseException):
    """`kill -9`: nothing of ours catches it."""


class Fuse:
    """Blows after the `nth` write called `point`, or after the `nth` of all; None: never."""

    def __init__(self, point: str | None = None, nth: int | None = None) -> None:
        self.writes: list[str] = []
        self.blown = asyncio.Event()
        self._point = point
        self._nth = nth
        self._counted: Counter[str] = Counter()

    async def write(
        self,
        name: str,
        do: Callable[[], Awaitable[T]],
        counts: Callable[[T], bool] = lambda _: True,
    ) -> T:
        """The effect is there; whoever asked for it never hears so."""
        self.check()
        done = await do()
        self.check()
        if not counts(done):
            return done
        self.writes.append(name)
        self._counted[name] += 1
        count = len(self.writes) if self._point is None else self._counted[name]
        if self._point in (None, name) and count == self._nth:
            self.blow()
        return done

    def check(self) -> None:
        if self.blown.is_set():
            raise Crash

    def blow(self) -> None:
        self.blown.set()
        raise Crash


async def lived(fuse: Fuse, life: Coroutine[Any, Any, object]) -> bool:
    """False when the fuse blew: whoever still waits for an answer will never have one."""
    living, dying = asyncio.create_task(life), asyncio.create_task(fuse.blown.wait())
    await asyncio.wait({living, dying}, return_when=asyncio.FIRST_COMPLETED)
    for task in (living, dying):
        task.cancel()
    result, _ = await asyncio.gather(living, dying, return_exceptions=True)
    if fuse.blown.is_set():
        return False
    if isinstance(result, BaseException):
        raise result
    return True


class FusedCollection:
    """A collection whose writes are counted and whose answers end with the process."""

    def __init__(self, mongo: "FusedMongo", collection: Any, fuse: Fuse) -> None:
        self._mongo = mongo
        self._collection = collection
        self._fuse = fuse

    def with_options(self, **options: Any) -> "FusedCollection":
        return FusedCollection(self._mongo, self._collection.with_options(**options), self._fuse)

    def __getattr__(self, name: str) -> Any:
        self._fuse.check()
        method = getattr(self._collection, name)
        if name not in WRITES:
            return method

        async def write(*arguments: Any, **named: Any) -> Any:
            inside = " in a transaction" if self._mongo.in_transaction else ""
            point = f"{self._collection.name}.{name}{inside}"
            return await self._fuse.write(point, lambda: method(*arguments, **named), _changed)

        return write


class FusedMongo(Mongo):
    def __init__(self, mongo: Mongo, fuse: Fuse) -> None:
        super().__init__(mongo.client, mongo.database.name)
        self.in_transaction = False
        self._fuse = fuse
        for name in COLLECTIONS:
            setattr(self, name, FusedCollection(self, getattr(mongo, name), fuse))

    async def transaction(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        transaction = super().transaction
        self.in_transaction = True
        try:
            return await self._fuse.write("commit", lambda: transaction(work))
        finally:
            self.in_transaction = False


class FusedPublisher(Publisher):
    """Publications are called by what they tell: "publish completed"."""

    def __init__(self, publisher: Publisher, fuse: Fuse) -> None:
        self._through = publisher
        self._fuse = fuse

    async def publish(
        self, topic: Topic, key: str, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()
    ) -> None:
        kind = json.loads(value)["type"].split(".")[-2]
        await self._fuse.write(
            f"publish {kind}", lambda: self._through.publish(topic, key, value, headers)
        )


class FusedStore(S3ObjectStore):
    def __init__(self, store: S3ObjectStore, fuse: Fuse, put_keys: set[str]) -> None:
        self._through = store
        self._fuse = fuse
        self._put_keys = put_keys

    async def put(self, key: str, content: bytes, content_type: str, sha256: str) -> None:
        self._put_keys.add(key)
        await self._fuse.write("put", lambda: self._through.put(key, content, content_type, sha256))

    async def delete(self, key: str) -> None:
        await self._fuse.write("delete", lambda: self._through.delete(key))


def _changed(answer: Any) -> bool:
    """A compare-and-set that found nothing is no point to die at: the one before was the same."""
    match answer:
        case UpdateResult():
            return bool(answer.modified_count or answer.upserted_id)
        case DeleteResult():
            return bool(answer.deleted_count)
        case _:
            return answer is not None
