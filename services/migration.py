"""Settings in -> topics, collections with what belongs to all, and the bucket; idempotent."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog
from pymongo import IndexModel
from pymongo.errors import CollectionInvalid, OperationFailure

from schemas.topics import TOPICS
from services.broker import BROKER_OUTAGES
from services.errors import Unavailable
from services.indexes import COLLECTIONS, OBSOLETE
from services.library.seeded import seed
from services.mongo import OUTAGES, Collection, Mongo, open_mongo
from services.object_store import S3ObjectStore
from services.settings import KafkaSettings, MongoSettings, S3Settings, Settings
from services.topic_admin import TopicAdmin

log = structlog.get_logger()

PATIENCE: Final = 60.0  #: seconds that each server has to come up
Waits = Callable[[str, str], None]  #: told the server and why it can't be used yet
INDEX_CONFLICTS: Final = (85, 86)  #: IndexOptionsConflict, IndexKeySpecsConflict


def _logged(server: str, reason: str) -> None:
    log.info("migration_waits", server=server, reason=reason)


async def migrate(settings: Settings, waits: Waits = _logged) -> None:
    """Idempotent, and safe beside running processes; `Unavailable` when a server stays away."""
    await asyncio.gather(
        _patiently("kafka", lambda: _topics(settings.kafka), BROKER_OUTAGES, waits),
        _patiently("mongo", lambda: _collections(settings.mongo), OUTAGES, waits),
        _patiently("s3", lambda: _bucket(settings.s3), (Unavailable,), waits),
    )
    log.info("migrated", topics=len(TOPICS), collections=len(COLLECTIONS))


async def _patiently(
    server: str,
    work: Callable[[], Awaitable[None]],
    outages: tuple[type[Exception], ...],
    waits: Waits,
) -> None:
    """Do `work` again while its server is away, for as long as `PATIENCE`."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        try:
            return await work()
        except outages as error:
            reason = _reason(error)
            if asyncio.get_running_loop().time() > deadline:
                told = f"{server} has not answered for {PATIENCE:g} s: {reason}"
                raise Unavailable(told) from error
            waits(server, reason)
            await asyncio.sleep(0.25)


def _reason(error: Exception) -> str:
    """Its first words: MongoDB's driver goes on with all that it knows."""
    said = str(error).partition(" (configured timeouts")[0].partition(", Timeout:")[0]
    name = type(error).__name__
    return said[:200] if said.startswith(name) else f"{name}: {said[:200]}"


async def _topics(settings: KafkaSettings) -> None:
    async with TopicAdmin.open(settings) as admin:
        await admin.ensure(TOPICS)


async def _collections(settings: MongoSettings) -> None:
    async with open_mongo(settings) as mongo:
        for name, indexes in COLLECTIONS.items():
            await _ensure(mongo, name, indexes)
        await seed(mongo)


async def _bucket(settings: S3Settings) -> None:
    async with S3ObjectStore.open(settings) as store:
        await store.ensure_bucket()


async def _ensure(mongo: Mongo, name: str, indexes: tuple[IndexModel, ...]) -> None:
    with suppress(CollectionInvalid):  # it is there
        await mongo.database.create_collection(name)
        log.info("collection_created", collection=name)
    for index in indexes:
        await _ensure_index(mongo.database[name], index)
    for obsolete in OBSOLETE.get(name, ()):
        with suppress(OperationFailure):  # it is gone, or never was
            await mongo.database[name].drop_index(obsolete)


async def _ensure_index(collection: Collection, index: IndexModel) -> None:
    """Replace an index of the same name whose definition has changed."""
    try:
        await collection.create_indexes([index])
    except OperationFailure as error:
        if error.code not in INDEX_CONFLICTS:
            raise
        name = index.document["name"]
        await collection.drop_index(name)
        await collection.create_indexes([index])
        log.info("index_replaced", collection=collection.name, index=name)
