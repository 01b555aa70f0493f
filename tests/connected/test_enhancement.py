"""A run's prompt is made better once; every attempt paints the same text, and events hold none."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import pytest

from schemas.common import now
from schemas.jobs import GenerationSpec, Job, Tier
from schemas.queue import QueueRow
from services.cancels import Cancels
from services.engine.catalogue import Catalogue
from services.engine.messages import Generated
from services.engine.process import EngineProcess, OnProgress
from services.enhancement import Enhancements
from services.errors import EngineDied
from services.inserts import job_document
from services.language_model import LanguageModel
from services.metrics import ENHANCEMENT_FAILURES, ENHANCEMENTS
from services.mongo import Mongo
from services.settings import ROOT, EngineSettings, EnhanceSettings, Settings
from services.slot import Slot
from tests.chat_endpoint import ChatEndpoint, chat_endpoint
from tests.conditions import until
from tests.connected.queue_parts import SPEC, make_row, own_database
from tests.connected.test_fulfilment import FakeEngine, World, until_expired
from workers.generator import serve

pytestmark = pytest.mark.connected

CATALOGUE = Catalogue.load(ROOT / "models" / "models.yaml")
PROMPT = "a red circle"
BY_RULES = "a red circle on a white background"
ASKING = SPEC.model_copy(update={"prompt": PROMPT, "model": "darkroom-small", "enhance": True})


class NotingEngine(FakeEngine):
    """Keeps the prompts that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.prompts: list[str] = []

    async def generate(
        self, spec: GenerationSpec, *, references: Sequence[bytes], on_progress: OnProgress
    ) -> Generated:
        self.prompts.append(spec.prompt)
        return await super().generate(spec, references=references, on_progress=on_progress)


class Studio(World):
    """A generator whose runs may ask for a better prompt."""

    def __init__(self, mongo: Mongo, language_model: LanguageModel | None = None) -> None:
        super().__init__(mongo)
        self.noting = NotingEngine()
        self.engine = self.noting
        self.fulfilment._engine = self.noting  # type: ignore[assignment]
        self.fulfilment._enhancements = Enhancements(mongo, CATALOGUE, language_model)

    async def admitted(self, **facts: Any) -> QueueRow:
        """A row and the document of its job."""
        row = make_row(**{"spec": ASKING, **facts})
        job = Job(
            id=row.job, run=row.id, project="demo", dialect="studio", spec=ASKING, created_at=now()
        )
        await self.mongo.jobs.insert_one(job_document(job))
        await self.queue.enqueue([row])
        return row

    async def attempt(self) -> None:
        lease = await self.queue.claim()
        assert lease is not None
        await self.fulfil(lease)

    async def job(self, job: UUID) -> Job:
        return Job.model_validate(await self.mongo.jobs.find_one({"_id": job}))


def count(metric: Any, label: str) -> float:
    value: float = metric.labels(label)._value.get()
    return value


@pytest.fixture(scope="module")
async def database(stack: Settings) -> AsyncIterator[Mongo]:
    async with own_database(stack) as mongo:
        yield mongo


@pytest.fixture
async def mongo(database: Mongo) -> Mongo:
    await database.queue.delete_many({})
    return database


@pytest.fixture
async def endpoint() -> AsyncIterator[ChatEndpoint]:
    async with chat_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
async def language_model(endpoint: ChatEndpoint) -> AsyncIterator[LanguageModel]:
    settings = EnhanceSettings(url=endpoint.url, timeout=5)
    async with LanguageModel.open(settings) as language_model:
        assert language_model is not None
        yield language_model


async def test_both_prompts_are_kept_and_no_event_holds_either(mongo: Mongo) -> None:
    studio = Studio(mongo)
    before = count(ENHANCEMENTS, "rules")
    row = await studio.admitted()

    await studio.attempt()

    job = await studio.job(row.job)
    assert (job.spec.prompt, job.enhanced_prompt) == (PROMPT, BY_RULES)
    assert studio.noting.prompts == [BY_RULES]
    assert count(ENHANCEMENTS, "rules") == before + 1
    assert studio.publisher.kinds(row.job) == ["started", "completed"]
    assert all(PROMPT not in value.decode() for _, _, value in studio.publisher.sent)


async def test_a_run_that_does_not_ask_keeps_its_prompt(
    mongo: Mongo, endpoint: ChatEndpoint, language_model: LanguageModel
) -> None:
    studio = Studio(mongo, language_model)
    row = await studio.admitted(spec=ASKING.model_copy(update={"enhance": False}))

    await studio.attempt()

    assert studio.noting.prompts == [PROMPT]
    assert (await studio.job(row.job)).enhanced_prompt is None
    assert endpoint.asked == []


async def test_a_later_attempt_paints_what_the_first_has_written(
    mongo: Mongo, endpoint: ChatEndpoint, language_model: LanguageModel
) -> None:
    studio = Studio(mongo, language_model)
    row = await studio.admitted()
    endpoint.says = "the first answer"
    studio.engine.error = EngineDied()
    await studio.attempt()
    await until_expired(studio)
    await mongo.queue.update_one({"_id": row.id}, {"$set": {"due": now()}})

    endpoint.says = "another answer"
    studio.engine.error = None
    await studio.attempt()

    assert studio.noting.prompts == ["the first answer"] * 2
    assert len(endpoint.asked) == 1
    assert (await studio.job(row.job)).enhanced_prompt == "the first answer"


async def test_two_attempts_at_once_paint_the_same(
    mongo: Mongo, endpoint: ChatEndpoint, language_model: LanguageModel
) -> None:
    studio = Studio(mongo, language_model)
    row = await studio.admitted()
    enhancements = Enhancements(mongo, CATALOGUE, language_model)
    rules = Enhancements(mongo, CATALOGUE, None)
    endpoint.open.clear()
    late = asyncio.create_task(enhancements.prompt_of(row))
    await until(lambda: bool(endpoint.asked))

    early = await rules.prompt_of(row)
    endpoint.open.set()

    assert [early, await late] == [BY_RULES, BY_RULES]


async def test_a_retry_is_another_run_with_a_text_of_its_own(
    mongo: Mongo, endpoint: ChatEndpoint, language_model: LanguageModel
) -> None:
    studio = Studio(mongo, language_model)
    first = await studio.admitted()
    await studio.attempt()
    again = make_row(job=first.job, run_number=2, spec=ASKING)
    await mongo.jobs.update_one({"_id": first.job}, {"$set": {"run": again.id}})
    assert (await studio.job(first.job)).enhanced_prompt is None

    endpoint.says = "another answer"
    await studio.queue.enqueue([again])
    await studio.attempt()

    job = await studio.job(first.job)
    assert job.enhanced_prompt == "another answer"
    assert job.enhanced == {first.id: "a better prompt", again.id: "another answer"}


async def test_a_failure_is_counted_and_blocks_nothing(
    mongo: Mongo, endpoint: ChatEndpoint, language_model: LanguageModel
) -> None:
    studio = Studio(mongo, language_model)
    before = count(ENHANCEMENT_FAILURES, "status_500")
    endpoint.status_code = 500
    row = await studio.admitted()

    await studio.attempt()

    assert studio.noting.prompts == [BY_RULES]
    assert studio.publisher.kinds(row.job) == ["started", "completed"]
    assert count(ENHANCEMENT_FAILURES, "status_500") == before + 1


async def test_a_purged_job_does_not_come_back(mongo: Mongo) -> None:
    studio = Studio(mongo)
    row = await studio.admitted()
    await mongo.jobs.delete_one({"_id": row.job})

    await studio.attempt()

    assert studio.noting.prompts == [BY_RULES]
    assert await mongo.jobs.find_one({"_id": row.job}) is None


async def test_others_have_the_engine_while_a_language_model_thinks(
    mongo: Mongo, endpoint: ChatEndpoint, language_model: LanguageModel
) -> None:
    studio = Studio(mongo, language_model)
    endpoint.open.clear()
    slow = await studio.admitted(vft=0.0)
    quick = make_row(vft=1.0)
    await studio.queue.enqueue([quick])

    serving = asyncio.create_task(serve(studio.claims, studio.fulfilment, Slot(), 0.01))
    await until(lambda: "completed" in studio.publisher.kinds(quick.job))
    assert "completed" not in studio.publisher.kinds(slow.job)
    endpoint.open.set()
    await until(lambda: "completed" in studio.publisher.kinds(slow.job))

    assert studio.noting.prompts == [SPEC.prompt, "a better prompt"]
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


async def test_one_run_at_a_time_is_generated_however_many_were_thought_about(
    mongo: Mongo, endpoint: ChatEndpoint, language_model: LanguageModel
) -> None:
    studio = Studio(mongo, language_model)
    for place in range(3):
        await studio.admitted(vft=float(place))
    studio.engine.finish.clear()

    serving = asyncio.create_task(serve(studio.claims, studio.fulfilment, Slot(), 0.01))
    await until(lambda: len(endpoint.asked) == 3)
    with pytest.raises(TimeoutError):
        await until(lambda: len(studio.engine.began) > 1, seconds=0.3)

    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


async def test_a_cancel_ends_a_run_that_waits_for_a_language_model(
    mongo: Mongo, endpoint: ChatEndpoint, language_model: LanguageModel
) -> None:
    studio = Studio(mongo, language_model)
    endpoint.open.clear()
    row = await studio.admitted()
    attempt = asyncio.create_task(studio.attempt())
    await until(lambda: bool(endpoint.asked))

    await Cancels(mongo).request(row.id, row.job, row.project, "no more")
    await studio.leases.watch_cancels()
    await attempt

    assert studio.publisher.kinds(row.job) == ["started", "cancelled"]
    assert studio.engine.began == []
    assert studio.engine.stopped == 0, "nobody else's run was stopped"


async def test_a_worker_that_is_told_to_end_meanwhile_gives_the_run_back(
    mongo: Mongo, endpoint: ChatEndpoint, language_model: LanguageModel
) -> None:
    studio = Studio(mongo, language_model)
    endpoint.open.clear()
    row = await studio.admitted()
    attempt = asyncio.create_task(studio.attempt())
    await until(lambda: bool(endpoint.asked))

    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt

    stored = await studio.row(row.id)
    assert (stored.state, stored.attempt) == ("ready", 0)


async def test_a_prompt_that_was_made_better_gives_the_bytes_that_it_gives_by_itself(
    mongo: Mongo, endpoint: ChatEndpoint, language_model: LanguageModel
) -> None:
    studio = Studio(mongo, language_model)
    small = {"model": "tiny", "tier": Tier.DRAFT, "seed": 7}
    asking = ASKING.model_copy(update=small)
    plain = asking.model_copy(update={"prompt": endpoint.says, "enhance": False})
    async with EngineProcess.open(EngineSettings()) as engine:
        await engine.warm()
        studio.fulfilment._engine = engine
        await studio.admitted(spec=asking)
        await studio.attempt()
        await studio.admitted(spec=plain)
        await studio.attempt()

    better, by_itself = studio.store.objects.values()
    assert better == by_itself
    assert b'"prompt":"a better prompt"' in better
