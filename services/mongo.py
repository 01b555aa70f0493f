"""The one module that knows MongoDB's driver: settings in, a `Mongo` of named collections out.

Motor is past its end of life; PyMongo's AsyncMongoClient is the exit, and this file the door.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from bson.codec_options import CodecOptions
from motor.motor_asyncio import (
    AsyncIOMotorClient,
    AsyncIOMotorClientSession,
    AsyncIOMotorCollection,
    AsyncIOMotorDatabase,
)
from pymongo import ReadPreference, WriteConcern
from pymongo.errors import ConnectionFailure, PyMongoError, WTimeoutError
from pymongo.read_concern import ReadConcern

from services.settings import MongoSettings

Document = dict[str, Any]
Collection = AsyncIOMotorCollection[Document]
Session = AsyncIOMotorClientSession
T = TypeVar("T")

#: What a caller waits out (or answers 503 to): the server is away, not the request wrong.
OUTAGES = (ConnectionFailure, WTimeoutError)


class Mongo:
    """The database of one deployment; every write is journaled by a majority."""

    def __init__(self, client: AsyncIOMotorClient[Document], database: str) -> None:
        self.client = client
        self.database: AsyncIOMotorDatabase[Document] = client.get_database(
            database,
            codec_options=CodecOptions(tz_aware=True, uuid_representation=4),
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern("majority", j=True),
        )
        self.jobs: Collection = self.database["jobs"]
        self.images: Collection = self.database["images"]
        self.flows: Collection = self.database["flows"]
        self.presets: Collection = self.database["presets"]
        self.aliases: Collection = self.database["aliases"]
        self.feeds: Collection = self.database["feeds"]
        self.library_outbox: Collection = self.database["library_outbox"]
        self.uploads: Collection = self.database["uploads"]
        self.totals: Collection = self.database["totals"]
        self.disturbances: Collection = self.database["disturbances"]
        self.removals: Collection = self.database["removals"]
        self.live: Collection = self.database["live"]
        self.live_urls: Collection = self.database["live_urls"]
        self.queue: Collection = self.database["queue"]
        self.tenants: Collection = self.database["tenants"]
        self.keys: Collection = self.database["keys"]
        self.answers: Collection = self.database["answers"]
        self.rate_limits: Collection = self.database["rate_limits"]
        self.durations: Collection = self.database["durations"]
        self.offsets: Collection = self.database["offsets"]
        self.quarantine: Collection = self.database["quarantine"]

    async def ping(self) -> None:
        await self.client.admin.command("ping")

    async def transaction(self, work: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """Run `work` in a transaction, again while the server says that it may be repeated."""
        async with await self.client.start_session() as session:
            return await session.with_transaction(work)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Session]:
        """All that is read with this session is of one moment, in which a majority had it."""
        async with await self.client.start_session(snapshot=True) as session:
            yield session


@asynccontextmanager
async def open_mongo(settings: MongoSettings) -> AsyncIterator[Mongo]:
    """Connect lazily: an absent server shows at the first call, as one of `OUTAGES`."""
    wait = int(settings.server_selection_timeout.total_seconds() * 1000)
    client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
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
        client.close()


__all__ = ["OUTAGES", "Collection", "Document", "Mongo", "PyMongoError", "Session", "open_mongo"]
