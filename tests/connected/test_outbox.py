"""The outbox as a process of its own: what the API could not hand on arrives without it."""

import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import cast
from uuid import uuid4

import pytest

from schemas.common import now
from schemas.jobs import Dialect, GenerationSpec
from schemas.topics import GENERATION_COMMANDS
from services.admission import Admission, Wish
from services.broker import Publisher
from services.engine.catalogue import Catalogue
from services.mongo import Mongo
from services.settings import ROOT, Settings
from services.signing import Signer
from tests.conditions import until_answered
from tests.connected.kafka_parts import tail_of
from tests.connected.process_parts import ended, process_of
from tests.connected.queue_parts import RememberingPublisher, own_database

pytestmark = pytest.mark.connected

CATALOGUE = Catalogue.load(ROOT / "models" / "models.yaml")


@pytest.fixture
async def mongo(migrated: Settings) -> AsyncIterator[Mongo]:
    async with own_database(migrated) as mongo:
        yield mongo


async def test_a_job_that_the_api_left_behind_is_published_and_marked(
    migrated: Settings, mongo: Mongo
) -> None:
    signer = Signer(migrated.master_secret.get_secret_value())
    missed = RememberingPublisher(outages=[TimeoutError()])
    admission = Admission(mongo, cast(Publisher, missed), signer, CATALOGUE)
    wish = Wish(spec=GenerationSpec(prompt="a cat", model="tiny"), dialect=Dialect.BLOG)
    (job,) = (await admission.submit(f"test-{uuid4()}", [wish])).jobs
    ago = now() - timedelta(seconds=6)
    await mongo.jobs.update_one({"_id": job.id}, {"$set": {"created_at": ago}})
    own = migrated.mongo.model_copy(update={"database": mongo.database.name})
    settings = migrated.model_copy(update={"mongo": own})

    async with (
        tail_of(migrated, GENERATION_COMMANDS) as commands,
        process_of("workers.outbox", settings) as process,
    ):
        await commands.until(lambda _: commands.of(str(job.id)))

        async def is_marked() -> bool:
            document = await mongo.jobs.find_one({"_id": job.id})
            return bool(document and document["published"])

        await until_answered(is_marked)
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0
