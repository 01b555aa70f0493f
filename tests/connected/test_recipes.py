"""Recipes on a real MongoDB, S3 and Kafka: learned, asked for, and sent on to another instance."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr

from schemas.common import now
from schemas.recipes import Recipe, RecipeStep
from schemas.topics import DEAD_LETTERS, RECIPES_EVENTS
from services.accounts import Keys
from services.broker import Publisher, client_settings
from services.issuance import CreatedKey
from services.mongo import Mongo, open_mongo
from services.producers import Producers
from services.recipes.learning import GROUP, Learning
from services.recipes.store import Recipes
from services.settings import Settings
from services.signing import Signer
from services.subscription import subscribed
from services.tokens import Tokens
from services.watchdog import Watchdog
from tests.conditions import until_answered
from tests.connected.api_processes import ApiProcess, api_process
from tests.connected.kafka_parts import (
    TopicTail,
    stranger,
    strangers_command,
    strangers_signature,
    tail_of,
)
from tests.connected.library_parts import completed, failed
from tests.connected.own_stack import own_stack
from tests.connected.process_parts import process_of
from tests.connected.projection_parts import stored_job

pytestmark = [pytest.mark.connected, pytest.mark.timeout(300)]

RECIPES = "/api/image-gen/recipes"
JOBS = "/api/image-gen/jobs"
TITLE = "Frittata al Parmigiano"
KIND = "dev.darkroom.recipe.published.v1"
TOKEN = "what both instances were told"


@pytest.fixture(scope="module")
async def settings(stack: Settings) -> Settings:
    return await own_stack(stack)


@pytest.fixture
async def mongo(settings: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(settings.mongo) as mongo:
        yield mongo


@pytest.fixture(scope="module")
async def api(settings: Settings) -> AsyncIterator[ApiProcess]:
    async with api_process(settings, IMAGE_GEN_TOKEN=TOKEN) as api:
        yield api


@pytest.fixture
def project() -> str:
    return f"test-{uuid4()}"


@pytest.fixture
async def key(settings: Settings, mongo: Mongo, project: str) -> CreatedKey:
    return await Keys(mongo, signer_of(settings)).create(project)


@pytest.fixture
async def ada(settings: Settings, api: ApiProcess, project: str) -> AsyncIterator[Any]:
    async with client_of(settings, api.url, project) as client:
        yield client


def signer_of(settings: Settings) -> Signer:
    return Signer(settings.master_secret.get_secret_value())


def client_of(settings: Settings, url: str, project: str, user: str = "ada") -> httpx2.AsyncClient:
    tokens = Tokens(settings, signer_of(settings))
    token = tokens.issue(user, project, timedelta(minutes=5))
    headers = {"authorization": f"Bearer {token}"}
    return httpx2.AsyncClient(base_url=url, headers=headers, timeout=30)


def recipe(*steps: str, recipe_id: str = "17") -> Recipe:
    described = tuple(RecipeStep(description=step) for step in steps)
    return Recipe(recipe_id=recipe_id, title=TITLE, steps=described)


async def test_the_newest_recipe_wins_in_whatever_order_they_come(
    mongo: Mongo, project: str
) -> None:
    recipes, moment = Recipes(mongo), now()
    old, new = recipe("old"), recipe("new")

    learned = [
        await recipes.learn(project, new, moment),
        await recipes.learn(project, old, moment - timedelta(seconds=1)),
        await recipes.learn(project, new, moment),
    ]

    assert learned == [True, False, True]
    assert await recipes.get(project, "17") == new
    assert await recipes.get(f"{project}-other", "17") is None
    await recipes.save(project, old)
    assert await recipes.get(project, "17") == old
    assert not await recipes.learn(project, new, moment)


async def test_of_many_at_once_the_newest_is_kept(mongo: Mongo, project: str) -> None:
    recipes, moment = Recipes(mongo), now()

    await asyncio.gather(
        *(
            recipes.learn(project, recipe(f"version {age}"), moment - timedelta(seconds=age))
            for age in range(20)
        )
    )

    assert await recipes.get(project, "17") == recipe("version 0")
    assert await mongo.recipes.count_documents({"project": project}) == 1


async def test_what_services_publish_is_learned_and_the_rest_is_kept_with_the_reason(
    settings: Settings, mongo: Mongo, key: CreatedKey, project: str
) -> None:
    reader = await Keys(mongo, signer_of(settings)).create(project, scopes=("read",))
    first = published(project, recipe("Whisk."), time="2026-11-21T05:00:00Z")
    newer = published(project, recipe("Whisk.", "Bake."), time="2026-11-21T06:00:00Z")
    no_title = published(project, recipe("Whisk."), title=None)
    a_command = strangers_command(project, {"prompt": "x"})
    last = published(project, recipe("Serve.", recipe_id="18"))
    elsewhere = published(f"{project}-other", recipe("Steal."))

    async with learning(settings, mongo), tail_of(settings, DEAD_LETTERS) as letters:
        async with stranger(settings) as producer:
            await produce(settings, producer, newer, key)
            await produce(settings, producer, first, key)
            await produce(settings, producer, b"no JSON", key)
            await produce(settings, producer, first, None)
            await produce(settings, producer, elsewhere, key)
            await produce(settings, producer, first, reader)
            await produce(settings, producer, no_title, key)
            await produce(settings, producer, a_command, key)
            await produce(settings, producer, last, key)
        await letters.until(lambda seen: len(seen) >= 6)
        await until_answered(lambda: known(mongo, project, "18"))

    assert await Recipes(mongo).get(project, "17") == recipe("Whisk.", "Bake.")
    assert await Recipes(mongo).get(f"{project}-other", "17") is None
    assert sorted(reasons(letters)) == [
        "forbidden",
        "invalid_recipe",
        "unknown_type",
        "unreadable",
        "unsigned",
        "wrong_project",
    ]


async def test_a_date_in_the_future_does_not_win_for_ever(
    settings: Settings, mongo: Mongo, key: CreatedKey, project: str
) -> None:
    future = published(project, recipe("wrong"), time="9999-01-01T00:00:00Z")
    async with learning(settings, mongo), stranger(settings) as producer:
        await produce(settings, producer, future, key)
        await until_answered(lambda: known(mongo, project, "17"))
        await produce(settings, producer, published(project, recipe("right")), key)

        async def is_right() -> bool:
            return await Recipes(mongo).get(project, "17") == recipe("right")

        await until_answered(is_right)


async def test_what_breaks_is_learned_again_and_committed_then(
    stack: Settings, monkeypatch: pytest.MonkeyPatch, project: str
) -> None:
    settings, met = await own_stack(stack), list[int]()
    store = Recipes.learn

    async def breaks_once(*_what: Any) -> bool:
        monkeypatch.setattr(Recipes, "learn", store)
        met.append(await committed(settings))
        raise ValueError("a bug")

    monkeypatch.setattr("services.redelivery.LONGEST_PAUSE", 0)
    monkeypatch.setattr(Recipes, "learn", breaks_once)
    async with open_mongo(settings.mongo) as mongo, stranger(settings) as producer:
        key = await Keys(mongo, signer_of(settings)).create(project)
        await produce(settings, producer, b"no JSON", key)
        await produce(settings, producer, published(project, recipe("Whisk.")), key)

        async def all_committed() -> bool:
            return await committed(settings) == 2

        async with learning(settings, mongo):
            await until_answered(lambda: known(mongo, project, "17"))
            await until_answered(all_committed)

    assert met == [0]


async def test_the_outbox_learns_a_recipe_whose_steps_a_batch_then_shows(
    settings: Settings, mongo: Mongo, ada: httpx2.AsyncClient, key: CreatedKey, project: str
) -> None:
    value = published(project, recipe("Whisk the eggs.", "Bake."))
    async with process_of("workers.outbox", settings), stranger(settings) as producer:
        await produce(settings, producer, value, key)
        await until_answered(lambda: known(mongo, project, "17"))

    answer = await ada.post(f"{RECIPES}/17/steps/batch", json={"style": "watercolor"})

    assert answer.status_code == 200, answer.text
    jobs = await jobs_of(mongo, answer.json()["job_id"])
    assert [job["spec"]["prompt"] for job in jobs] == [
        f"cooking {TITLE}, Whisk the eggs, watercolor",
        f"cooking {TITLE}, Bake, watercolor",
    ]
    assert {(job["owner"], job["lane"], job["dialect"]) for job in jobs} == {
        ("ada", "batch", "recipes")
    }


async def test_a_batch_of_one_and_of_many_ends_with_its_manifest(
    mongo: Mongo, ada: httpx2.AsyncClient
) -> None:
    for count in (1, 3):
        steps = [{"description": f"step {number}"} for number in range(count)]
        submit = await ada.post(f"{RECIPES}/17/steps/batch", json={"steps": steps})
        path = submit.headers["location"]
        jobs = [job["_id"] for job in await jobs_of(mongo, submit.json()["job_id"])]
        for job in jobs[:-1]:
            await completed(mongo, await stored_job(mongo, job))
        begun = await ada.get(path)
        await failed(mongo, await stored_job(mongo, jobs[-1]))

        poll = (await ada.get(path)).json()
        file = await ada.get(poll["result_url"])

        assert begun.json()["status"] == ("pending" if count == 1 else "running")
        assert begun.json()["result_url"] is None
        assert (poll["status"], poll["error"]) == ("failed", f"1 of {count} images failed")
        assert file.headers["content-type"] == "application/json"
        assert file.headers["cache-control"].endswith("immutable")
        results = file.json()["results"]
        assert [each["step_index"] for each in results] == list(range(1, count + 1))
        assert [each["status"] for each in results] == ["done"] * (count - 1) + ["failed"]


async def test_an_idempotency_key_is_the_user_s(
    settings: Settings, api: ApiProcess, project: str
) -> None:
    async def ask(user: str) -> httpx2.Response:
        async with client_of(settings, api.url, project, user) as client:
            headers = {"idempotency-key": "once"}
            return await client.post(f"{RECIPES}/17/hero", json={"title": TITLE}, headers=headers)

    first, other, again = await ask("ada"), await ask("eve"), await ask("ada")

    assert first.json() == again.json() != other.json()
    assert again.headers["idempotent-replayed"] == "true"


async def test_one_instance_in_front_of_the_other(
    settings: Settings, stack: Settings, mongo: Mongo, api: ApiProcess, project: str
) -> None:
    """The front shares nothing with the one behind it but the token."""
    own = SecretStr("the master secret of the front")
    front_settings = (await own_stack(stack)).model_copy(update={"master_secret": own})
    variables = {"IMAGE_GEN_URL": f"{api.url}/", "IMAGE_GEN_TOKEN": TOKEN}
    async with api_process(front_settings, **variables) as front:
        async with (
            client_of(front_settings, front.url, project, "Zoë") as zoe,
            client_of(front_settings, front.url, project, "eve") as eve,
        ):
            sent: dict[str, Any] = {"json": {"title": TITLE}, "headers": {"idempotency-key": "k"}}
            submit = await zoe.post(f"{RECIPES}/17/hero", **sent)
            again = await zoe.post(f"{RECIPES}/17/hero", **sent)
            path = submit.headers["location"]
            pending = await zoe.get(path)
            (job,) = await jobs_of(mongo, submit.json()["job_id"])
            await completed(mongo, await stored_job(mongo, job["_id"]))
            done = await zoe.get(path)
            put = await zoe.put(
                f"{RECIPES}/17", json={"title": TITLE, "steps": [{"description": "Bake."}]}
            )
            batch = await zoe.post(f"{RECIPES}/17/steps/batch", json={})
            bad = await zoe.post(f"{RECIPES}/17/steps/2", json={"step_index": 3})
            hidden = await eve.get(path)
            no_token = await zoe.get(path, headers={"authorization": ""})
            service = await zoe.get(path, headers={"authorization": f"Bearer {TOKEN}"})

        assert (submit.status_code, submit.json()["status"]) == (200, "pending")
        assert (again.json(), again.headers["idempotent-replayed"]) == (submit.json(), "true")
        assert (job["owner"], job["project"]) == ("Zoë", project)
        assert (pending.json()["status"], pending.headers["retry-after"]) == ("pending", "1")
        assert done.json()["status"] == "done"
        assert (put.status_code, batch.status_code, bad.status_code) == (200, 200, 400)
        assert (hidden.status_code, hidden.json()) == (404, {"error": "Job not found"})
        assert (no_token.status_code, service.status_code) == (401, 401)


@pytest.mark.parametrize("nothing", ["http://127.0.0.1:9", "nonsense"])
async def test_an_instance_that_can_t_be_reached_is_502(
    settings: Settings, project: str, nothing: str
) -> None:
    async with (
        api_process(settings, IMAGE_GEN_URL=nothing) as front,
        client_of(settings, front.url, project) as ada,
    ):
        refused = await ada.post(f"{RECIPES}/17/hero", json={"title": TITLE})

    assert refused.status_code == 502
    assert refused.json() == {"error": "Image generation service is unreachable"}


async def test_one_that_does_not_know_the_token_is_502_too(
    settings: Settings, api: ApiProcess, project: str
) -> None:
    wrong = {"IMAGE_GEN_URL": api.url, "IMAGE_GEN_TOKEN": "another one"}
    async with (
        api_process(settings, **wrong) as front,
        client_of(settings, front.url, project) as ada,
    ):
        refused = await ada.get(f"{JOBS}/img_hero_{'0' * 32}")

    assert refused.status_code == 502
    assert "token" in refused.json()["error"]


@asynccontextmanager
async def learning(settings: Settings, mongo: Mongo) -> AsyncIterator[None]:
    """Beside the test, as the outbox runs it."""
    producers = Producers(signer_of(settings), Keys(mongo, signer_of(settings)))
    async with Publisher.open(settings.kafka) as publisher:
        learn = Learning(settings, producers, Recipes(mongo), publisher).learn
        watchdog = Watchdog(timedelta(minutes=5))
        running = asyncio.create_task(
            subscribed(settings.kafka, RECIPES_EVENTS, GROUP, learn, watchdog)
        )
        yield
        running.cancel()
        await asyncio.wait([running])


def published(project: str, made: Recipe, title: str | None = TITLE, **attributes: Any) -> bytes:
    """Another service's event, made without our code."""
    event = json.loads(strangers_command(project, type=KIND, **attributes))
    event["data"] = {**made.model_dump(), "title": title}
    return json.dumps(event).encode()


async def produce(settings: Settings, producer: Any, value: bytes, key: CreatedKey | None) -> None:
    headers = []
    if key is not None:
        headers = [strangers_signature(value, key.signing_key_id, key.signing_secret)]
    topic = settings.kafka.topic_prefix + RECIPES_EVENTS.name
    await producer.send_and_wait(topic, value, key=b"17", headers=headers)


async def committed(settings: Settings) -> int:
    """How many records the group of those who learn is done with."""
    admin = AIOKafkaAdminClient(**client_settings(settings.kafka))
    await admin.start()
    try:
        stored = await admin.list_consumer_group_offsets(settings.kafka.topic_prefix + "recipes")
    finally:
        await admin.close()
    return sum(kept.offset for kept in stored.values())


def reasons(letters: TopicTail) -> list[str]:
    return [json.loads(letter.value or b"{}")["data"]["error"] for letter in letters.seen]


async def known(mongo: Mongo, project: str, recipe_id: str) -> bool:
    return await Recipes(mongo).get(project, recipe_id) is not None


async def jobs_of(mongo: Mongo, handle: str) -> list[dict[str, Any]]:
    first = UUID(hex=handle[-32:])
    wanted = {"$or": [{"_id": first}, {"batch_id": first}]}
    return await mongo.jobs.find(wanted).sort("_id", 1).to_list(None)
