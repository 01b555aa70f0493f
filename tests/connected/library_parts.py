"""What the tests of a library share: a database with every index, and jobs that end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast
from uuid import UUID, uuid4

from schemas.events import EVENTS
from schemas.flows import Flow
from schemas.images import Image, ImageSource, Picture
from schemas.jobs import Dialect, GenerationSpec, Job
from services.admission import Admission, Wish
from services.broker import Publisher
from services.engine.catalogue import Catalogue
from services.indexes import COLLECTIONS
from services.mongo import Mongo, open_mongo
from services.projection_documents import FoldedDocuments
from services.records import Told
from services.settings import ROOT, Settings
from services.signing import Signer
from tests.connected import projection_parts as events
from tests.connected.projection_parts import SHA
from tests.connected.queue_parts import RememberingPublisher

CATALOGUE: Final = Catalogue.load(ROOT / "models" / "models.yaml")
SIGNER: Final = Signer("a master secret of tests")
SPEC: Final = GenerationSpec(prompt="a red circle", model="tiny", width=64, height=64)


@asynccontextmanager
async def library_database(stack: Settings) -> AsyncIterator[Mongo]:
    settings = stack.mongo.model_copy(update={"database": f"test_{uuid4().hex}"})
    async with open_mongo(settings) as mongo:
        for name, indexes in COLLECTIONS.items():
            if indexes:
                await mongo.database[name].create_indexes(list(indexes))
        yield mongo
        await mongo.client.drop_database(settings.database)


def admission_of(mongo: Mongo, publisher: RememberingPublisher | None = None) -> Admission:
    """One API process; its broker takes everything at once."""
    kafka = publisher or RememberingPublisher()
    return Admission(mongo, cast(Publisher, kafka), SIGNER, CATALOGUE)


def wish(prompt: str = SPEC.prompt, **facts: Any) -> Wish:
    spec = SPEC.model_copy(update={"prompt": prompt})
    return Wish(**{"spec": spec, "dialect": Dialect.STUDIO, **facts})


async def admitted(admission: Admission, project: str, asked: Wish) -> Job:
    (job,) = (await admission.submit(project, (asked,))).jobs
    return job


async def completed(mongo: Mongo, job: Job, image: UUID | None = None, **facts: Any) -> UUID:
    """The job as the projector shows it once its run has succeeded; returns its picture."""
    image = image or uuid4()
    await _fold(mongo, events.completed(job, image, **facts).encode())
    return image


async def failed(mongo: Mongo, job: Job) -> None:
    await _fold(mongo, events.failed(job).encode())


async def uploaded(mongo: Mongo, project: str, **facts: Any) -> Image:
    name = uuid4()
    picture = Picture(
        image_id=name, relative_path=f"uploads/{name}.png", sha256=SHA, width=8, height=8, bytes=9
    )
    image = Image(
        **{"id": name, "project": project, "source": ImageSource.UPLOADED, "picture": picture},
        **facts,
    )
    await mongo.images.insert_one(image.model_dump(by_alias=True))
    return image


async def begun_flow(mongo: Mongo, project: str) -> UUID:
    flow = Flow(id=uuid4(), project=project)
    await mongo.flows.insert_one(flow.model_dump(by_alias=True))
    return flow.id


async def _fold(mongo: Mongo, value: bytes) -> None:
    event = EVENTS.validate_json(value)
    assert await FoldedDocuments(mongo).fold([Told(UUID(event.subject), event)]) == 1
