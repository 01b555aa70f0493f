"""What an engine made in; pictures in the object store out, each under a key that its row knows."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple
from uuid import UUID, uuid4

from schemas.images import Picture
from schemas.jobs import GenerationSpec, Stage
from schemas.verification import Verification
from services import metrics
from services.engine.messages import Generated
from services.errors import Stopped
from services.object_store import S3ObjectStore
from services.queue import Lease, Queue
from services.redelivery import waited_out
from services.sourcing import Sourcing


class Kept(NamedTuple):
    """What is left of a run."""

    pictures: list[Picture]
    verification: Verification | None = None


class Keeping:
    def __init__(self, queue: Queue, store: S3ObjectStore, sourcing: Sourcing) -> None:
        self._queue = queue
        self._store = store
        self._sourcing = sourcing

    @asynccontextmanager
    async def named(self, lease: Lease) -> AsyncIterator[list[UUID]]:
        """The pictures' ids are on the row before any upload, written while they are made."""
        spec = lease.row.wanted
        images = [uuid4() for _ in range(spec.num_images if spec.verifies is None else 0)]
        keys = [_key(spec, image) for image in images]
        noting = asyncio.create_task(
            waited_out(lambda: self._queue.note_uploads(lease, keys), "queue")
        )
        try:
            yield images
            if not await noting:
                raise Stopped
        finally:
            noting.cancel()

    async def keep(self, lease: Lease, images: Sequence[UUID], generated: Generated) -> Kept:
        """A picture that was made to be compared is not stored."""
        spec = lease.row.wanted
        if spec.verifies is None:
            return Kept(await self._store_all(spec, images, generated))
        again = generated.pictures[0].png
        return Kept([], await self._sourcing.verified(lease.row.project, spec.verifies, again))

    async def _store_all(
        self, spec: GenerationSpec, images: Sequence[UUID], generated: Generated
    ) -> list[Picture]:
        pictures = [
            Picture(
                image_id=image,
                relative_path=_key(spec, image),
                sha256=made.sha256,
                width=made.width,
                height=made.height,
                bytes=len(made.png),
                seed=made.seed,
            )
            for image, made in zip(images, generated.pictures, strict=True)
        ]
        puts = [
            partial(self._store.put, picture.relative_path, made.png, "image/png", made.sha256)
            for picture, made in zip(pictures, generated.pictures, strict=True)
        ]
        with metrics.STAGE_SECONDS.labels(Stage.UPLOADING).time():
            await asyncio.gather(*(waited_out(put, "s3") for put in puts))
        return pictures


def _key(spec: GenerationSpec, image: UUID) -> str:
    """A preset's pictures lie together, under the path that its dialect documents."""
    if spec.preset is not None:
        return f"presets/{spec.preset.slug}/gen_{image}.png"
    return f"generated/{image}.png"
