"""The one module that knows MongoDB's client: settings in, a `Mongo` of named collections out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConnectionFailure, PyMongoError, WTimeoutError
from pymongo.read_concern import ReadConcern

from services.cancellation import mend_wait_for
from services.settings import MongoSettings

Document = dict[str, Any]
Collection = AsyncCollection[Document]
Session = AsyncClientSession
T = TypeVar("T")

#: What a caller waits out (or answers 503 to): the server is away, not the request wrong.
OUTAGES = (ConnectionFailure, WTimeoutError)


class Mongo:
    """The database of one deployment; a write is journaled by a majority, unless `unconfirmed`."""

    def __init__(self, client: AsyncMongoClient[Document], database: str, prefix: str = "") -> None:
        self.client = client
        self._prefix = prefix
        self._transactions: set[asyncio.Task[Any]] = set()  # the loop alone would forget them
        self.database: AsyncDatabase[Document] = client.get_database(
            database,
            codec_options=CodecOptions(tz_aware=True, uuid_representation=4),
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern("majority", j=True),
        )
        self.jobs: Collection = self._named("jobs")
        self.images: Collection = self._named("images")
        self.flows: Collection = self._named("flows")
        self.presets: Collection = self._named("presets")
        self.preset_versions: Collection = self._named("preset_versions")
        self.recipes: Collection = self.database["recipes"]
        self.aliases: Collection = self._named("aliases")
        self.feeds: Collection = self._named("feeds")
        self.library_outbox: Collection = self._named("library_outbox")
        self.uploads: Collection = self._named("uploads")
        self.totals: Collection = self._named("totals")
        self.disturbances: Collection = self._named("disturbances")
        self.removals: Collection = self._named("removals")
        self.purged_jobs: Collection = self._named("purged_jobs")
        self.live: Collection = self._named("live")
        self.live_urls: Collection = self._named("live_urls")
        self.queue: Collection = self._named("queue")
        self.tenants: Collection = self._named("tenants")
        self.keys: Collection = self._named("keys")
        self.answers: Collection = self._named("answers")
        self.rate_limits: Collection = self._named("rate_limits")
        self.durations: Collection = self._named("durations")
        self.offsets: Collection = self._named("offsets")
        self.quarantine: Collection = self._named("quarantine")
        self.replaced: Collection = self._named("replaced")

    def beside(self, prefix: str) -> "Mongo":
        """The same database through collections whose names begin with `prefix`."""
        return Mongo(self.client, self.database.name, prefix)

    async def ping(self) -> None:
        await self.client.admin.command("ping")

    async def transaction(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """Run `work` in a transaction, again while the server says that it may be repeated.

        Whoever is cancelled goes at once: a server that is away hears of it later, or never.
        """
        transacting = asyncio.create_task(self._transact(work))
        self._transactions.add(transacting)
        transacting.add_done_callback(self._ended)
        try:
            await asyncio.wait({transacting})
        except asyncio.CancelledError:
            transacting.cancel()
            raise
        return transacting.result()

    async def _transact(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        async with self.client.start_session() as session:
            return await session.with_transaction(work)

    def _ended(self, transacting: asyncio.Task[Any]) -> None:
        self._transactions.discard(transacting)
        if not transacting.cancelled():
            transacting.exception()  # whoever waited has it; of whoever left, nobody wants it

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Session]:
        """All that is read with this session is of one moment, in which a majority had it."""
        async with self.client.start_session(snapshot=True) as session:
            yield session

    def _named(self, name: str) -> Collection:
        return self.database[self._prefix + name]


def unconfirmed(collection: Collection) -> Collection:
    """For writes that another one follows, whose confirmation stands for both: a log is in order.

    A server that fails between the two may forget the first, so somebody has to make sure of it.
    """
    return collection.with_options(write_concern=WriteConcern(1, j=False))


@asynccontextmanager
async def open_mongo(settings: MongoSettings) -> AsyncIterator[Mongo]:
    """Connect lazily: an absent server shows at the first call, as one of `OUTAGES`."""
    mend_wait_for()
    wait = int(settings.server_selection_timeout.total_seconds() * 1000)
    client: AsyncMongoClient[Document] = AsyncMongoClient(
        settings.url.get_secret_value(),
        serverSelectionTimeoutMS=wait,
        connectTimeoutMS=wait,
        socketTimeoutMS=max(wait, 10_000),
        maxPoolSize=settings.max_pool_size,
        uuidRepresentation="standard",
        tz_aware=True,
        retryWrites=True,
        retryReads=True,
    )
    try:
        yield Mongo(client, settings.database)
    finally:
        await client.close()


__all__ = [
    "OUTAGES",
    "Collection",
    "Document",
    "Mongo",
    "PyMongoError",
    "Session",
    "open_mongo",
    "unconfirmed",
]
