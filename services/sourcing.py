"""A run's references -> their files, when it runs. Outages are waited out."""

from functools import partial

from schemas.images import Picture
from schemas.jobs import GenerationSpec
from services.errors import NotFound, ReferenceGone
from services.library.sources import pictures_of
from services.mongo import Mongo
from services.object_store import S3ObjectStore
from services.redelivery import waited_out


class Sourcing:
    def __init__(self, mongo: Mongo, store: S3ObjectStore) -> None:
        self._mongo = mongo
        self._store = store

    async def files_of(self, spec: GenerationSpec) -> tuple[bytes, ...]:
        """In the order of `spec.references`; raise `ReferenceGone` for one that was purged."""
        if not spec.references:
            return ()
        sources = await waited_out(lambda: pictures_of(self._mongo, spec), "mongo")
        return tuple([await self._file(source.picture) for source in sources])

    async def _file(self, picture: Picture) -> bytes:
        try:
            return await waited_out(partial(self._store.get, picture.relative_path), "s3")
        except NotFound as error:  # purged since its row was read
            raise ReferenceGone from error
