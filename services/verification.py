"""A generated picture -> the same made again by a worker and compared; nothing of it is kept.

The run has no job: no list shows it, no picture of it is stored, and the projector passes it by.
What it found is in its outcome on the queue's row, as the bytes of its last event.
"""

from datetime import timedelta
from typing import Final
from uuid import UUID, uuid5

from schemas.cloudevents import NAMESPACE
from schemas.common import now
from schemas.events import EVENTS, GenerationCompleted, GenerationFailed
from schemas.images import Image
from schemas.jobs import Dialect, GenerationSpec, Job, LoraWeight, Reference
from schemas.manifest import Manifest
from schemas.queue import QueueRow
from schemas.verification import Verification
from services.dispatch import Dispatch
from services.engine.encoding import read_manifest
from services.errors import CannotVerify, Unavailable
from services.mongo import Mongo
from services.object_store import S3ObjectStore

#: Who asks again within it joins the run that goes on, or has its answer.
WINDOW: Final = timedelta(minutes=10)


class Verifications:
    def __init__(self, mongo: Mongo, store: S3ObjectStore, dispatch: Dispatch) -> None:
        self._mongo = mongo
        self._store = store
        self._dispatch = dispatch

    async def begin(self, image: Image) -> UUID:
        """The run that makes it again. Raise `CannotVerify`."""
        manifest = read_manifest(await self._store.get(image.picture.relative_path))
        if manifest is None or image.run_id is None:
            raise CannotVerify("Only a generated picture with its manifest can be made again")
        turn = int(now().timestamp() // WINDOW.total_seconds())
        run = uuid5(NAMESPACE, f"verification\n{image.id}\n{turn}")
        spec = _spec(image, manifest, await self._references(image))
        job = Job(id=run, run=run, project=image.project, dialect=Dialect.STUDIO, spec=spec)
        if await self._row(run) is None:
            await self._dispatch.publish((job,))
        return run

    async def result(self, run: UUID) -> Verification | None:
        """None until it is known. Raise `CannotVerify` when it can't be, or `Unavailable`."""
        row = await self._row(run)
        if row is None or row.outcome is None:
            return None
        event = EVENTS.validate_json(row.outcome.event)
        match event:
            case GenerationCompleted() if event.data.verification:
                return event.data.verification
            case GenerationFailed() if event.data.reason != "poison":
                raise CannotVerify(f"It can't be made again: {event.data.message}")
        raise Unavailable("The run that made it again has ended without a picture")

    async def _references(self, image: Image) -> tuple[Reference, ...]:
        """As its run resolved them."""
        document = await self._mongo.jobs.find_one({"_id": image.job_id})
        runs = Job.model_validate(document).state.runs if document else {}
        run = runs.get(image.run_id) if image.run_id else None
        return run.output.references if run and run.output else ()

    async def _row(self, run: UUID) -> QueueRow | None:
        document = await self._mongo.queue.find_one({"_id": run})
        return QueueRow.model_validate(document) if document else None


def _spec(image: Image, manifest: Manifest, references: tuple[Reference, ...]) -> GenerationSpec:
    """What the file itself says that it was made from: an alias or a preset may be another now."""
    said = manifest.model_dump(include=set(GenerationSpec.model_fields) - {"loras", "references"})
    loras = tuple(LoraWeight(id=lora.id, weight=lora.weight) for lora in manifest.loras)
    return GenerationSpec(**said, loras=loras, references=references, verifies=image.id)
