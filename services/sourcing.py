"""What a run is made from or compared with -> its files, when it runs. Outages are waited out."""

import asyncio
from functools import partial
from typing import NamedTuple
from uuid import UUID

from schemas.images import Picture
from schemas.jobs import GenerationSpec
from schemas.verification import Verification
from services.comparison import compared
from services.errors import NotFound, ReferenceGone
from services.library.sources import pictures_of
from services.mongo import Mongo
from services.object_store import S3ObjectStore
from services.redelivery import waited_out


class Prepared(NamedTuple):
    """What the engine gets: the spec as it was fixed, and its references' files."""

    spec: GenerationSpec
    references: tuple[bytes, ...]


class Sourcing:
    def __init__(self, mongo: Mongo, store: S3ObjectStore) -> None:
        self._mongo = mongo
        self._store = store

    async def prepared(self, spec: GenerationSpec) -> Prepared:
        """Raise `ReferenceGone` for one that was purged."""
        if not spec.references:
            return Prepared(spec, ())
        sources = await waited_out(lambda: pictures_of(self._mongo, spec), "mongo")
        files = tuple([await self._file(source.picture) for source in sources])
        resolved = tuple(source.reference for source in sources)
        return Prepared(spec.model_copy(update={"references": resolved}), files)

    async def verified(self, project: str, image: UUID, again: bytes) -> Verification:
        """What is stored, compared with what was made again; raise `ReferenceGone`."""
        wanted = {"_id": image, "project": project}
        found = await waited_out(lambda: self._mongo.images.find_one(wanted), "mongo")
        if not found or "picture" not in found:
            raise ReferenceGone("The picture was purged")
        stored = await self._file(Picture.model_validate(found["picture"]))
        return await asyncio.to_thread(compared, image, stored, again)

    async def _file(self, picture: Picture) -> bytes:
        try:
            return await waited_out(partial(self._store.get, picture.relative_path), "s3")
        except NotFound as error:  # purged since its row was read
            raise ReferenceGone from error
