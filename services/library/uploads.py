"""Pictures that people bring: stored under a key that is noted first, then a row of the library.

The note goes in the transaction that makes the row, so that whatever is noted and old belongs to
nobody: a sweep deletes it.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from pydantic import Field

from schemas.common import Meta, Value, now
from schemas.images import Image, ImageSource, Marks, Picture
from schemas.library_events import ImageUploaded
from services.errors import DarkroomError, InvalidRequest, Unavailable
from services.library.aliases import Aliases, check_name
from services.library.decoding import DecodedUpload, decode
from services.library.feed import Change, Feed, change
from services.library.flows import Flows
from services.mongo import Mongo, Session
from services.object_store import S3ObjectStore

log = structlog.get_logger()

STALE_AFTER: Final = timedelta(hours=1)  #: no request takes that long
DECODED_AT_ONCE: Final = 2  #: some hundred megabytes each at worst
AT_ONCE: Final = 1000  #: objects a sweep


class Belongings(Value):
    """What an uploaded picture is to be called, and where it belongs."""

    alias: str | None = None
    flow_alias: str | None = None
    flow_id: UUID | None = None
    meta: Meta = Field(default_factory=dict)


class Uploads:
    def __init__(self, mongo: Mongo, feed: Feed, store: S3ObjectStore) -> None:
        self._mongo = mongo
        self._feed = feed
        self._store = store
        self._flows = Flows(mongo, feed)
        self._aliases = Aliases(mongo)
        self._decoding = ThreadPoolExecutor(DECODED_AT_ONCE, "decode")

    async def decoded(self, content: bytes) -> DecodedUpload:
        """Beside the event loop. Raise `UnsupportedImage` or `FileTooLarge`.

        A thread goes on when its caller has left, and its place is taken until it is done.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoding, decode, content)

    async def add(self, project: str, image: UUID, found: DecodedUpload, to: Belongings) -> Image:
        """Store the picture under the id `image`; the same again where it is there already.

        Raise `AliasTaken`, `InvalidAlias`, `ReservedAlias`, `FlowNotFound` or `Unavailable`.
        """
        await self._check(project, to)
        key = f"uploads/{image}.{found.extension}"
        await self._mongo.uploads.update_one(
            {"_id": key}, {"$set": {"noted_at": now()}}, upsert=True
        )
        await self._store.put(key, found.content, found.mime_type, found.sha256)
        picture = Picture(
            image_id=image,
            relative_path=key,
            sha256=found.sha256,
            width=found.width,
            height=found.height,
            bytes=len(found.content),
            mime_type=found.mime_type,
        )
        uploaded = Image(
            id=image,
            project=project,
            source=ImageSource.UPLOADED,
            picture=picture,
            flow_id=to.flow_id,
            marks=Marks(meta=to.meta),
        )
        try:
            return await self._insert(uploaded, to)
        except DarkroomError:
            await self._forget(key)
            raise

    async def sweep(self) -> None:
        """Delete what was stored for requests that ended before their picture had a row."""
        old = {"noted_at": {"$lt": now() - STALE_AFTER}}
        for note in await self._mongo.uploads.find(old, {"_id": 1}).to_list(AT_ONCE):
            key = note["_id"]
            # from here on no transaction can make a row of it any more
            if await self._mongo.uploads.find_one_and_update(
                {"_id": key, **old}, {"$set": {"given_up": True}}
            ):
                await self._store.delete(key)
                await self._mongo.uploads.delete_one({"_id": key})
                log.info("upload_deleted", key=key)

    async def _check(self, project: str, to: Belongings) -> None:
        """What can be refused before anything is stored."""
        for name, pointer in ((to.alias, "/alias"), (to.flow_alias, "/flowAlias")):
            if name is not None:
                check_name(name, pointer)
        if to.flow_id is not None:
            await self._flows.get(project, to.flow_id)
        elif to.flow_alias is not None:
            raise InvalidRequest("A flow's alias needs a flow", "/flowAlias")

    async def _insert(self, image: Image, to: Belongings) -> Image:
        async def work(session: Session) -> Image:
            there = await self._mongo.images.find_one({"_id": image.id}, session=session)
            if there is not None:  # an earlier try of the same request
                return Image.model_validate(there)
            note = {"_id": image.picture.relative_path, "given_up": None}
            if not (await self._mongo.uploads.delete_one(note, session=session)).deleted_count:
                raise Unavailable("The upload took too long")
            if to.flow_id is not None:
                await self._flows.touch(session, image.project, to.flow_id)
            document = image.model_dump(by_alias=True, exclude_none=True)
            await self._mongo.images.insert_one(document, session=session)
            told = change(ImageUploaded, image.id, picture=image.picture, flow_id=image.flow_id)
            named = await self._named(session, image, to)
            await self._feed.record(session, image.project, told, *named)
            return image

        return await self._feed.transaction(image.project, work)

    async def _named(self, session: Session, image: Image, to: Belongings) -> tuple[Change, ...]:
        changes: tuple[Change, ...] = ()
        if to.alias is not None:
            changes += await self._aliases.assign(session, image, to.alias)
        if to.flow_alias is not None:
            changes += await self._aliases.assign(session, image, to.flow_alias, to.flow_id)
        return changes

    async def _forget(self, key: str) -> None:
        """At once where that works; the sweep comes later."""
        note = {"_id": key}
        try:
            if await self._mongo.uploads.find_one_and_update(note, {"$set": {"given_up": True}}):
                await self._store.delete(key)
                await self._mongo.uploads.delete_one(note)
        except Unavailable as error:
            log.warning("upload_deletion_delayed", key=key, error=str(error))
