"""Live pictures at two API processes over a real MongoDB and S3: one picture each, whoever asks."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from services.accounts import Keys
from services.issuance import CreatedKey
from services.live.cache import FIRST_PAUSE
from services.mongo import Mongo, open_mongo
from services.object_store import S3ObjectStore
from services.settings import Settings
from services.signing import Signer
from tests.conditions import until_answered
from tests.connected.api_processes import ApiProcess, api_process
from tests.connected.painter import Painter, painter
from tests.connected.test_idempotency import silent_broker

pytestmark = [pytest.mark.connected, pytest.mark.timeout(300)]

LIVE = "/api/v1/live"
URLS = f"{LIVE}/urls"
NOWHERE = "127.0.0.1:9"
YEAR = "public, max-age=31536000"


@pytest.fixture(scope="module")
async def mongo(migrated: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(migrated.mongo) as mongo:
        yield mongo


@pytest.fixture(scope="module")
async def store(migrated: Settings) -> AsyncIterator[S3ObjectStore]:
    async with S3ObjectStore.open(migrated.s3) as store:
        yield store


@pytest.fixture(scope="module")
async def apis(migrated: Settings) -> AsyncIterator[tuple[ApiProcess, ApiProcess]]:
    patient = {"DARKROOM_API__UNAVAILABLE_AFTER": "30"}  # 50 at once on a machine that is busy
    async with (
        api_process(migrated, **patient) as one,
        api_process(migrated, **patient) as other,
    ):
        yield one, other


@pytest.fixture
async def key(migrated: Settings, mongo: Mongo) -> CreatedKey:
    signer = Signer(migrated.master_secret.get_secret_value())
    return await Keys(mongo, signer).create(f"test-{uuid4()}", limit=None)


@pytest.fixture
async def client(key: CreatedKey) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=90, headers={"x-api-key": key.key}) as client:
        yield client


@pytest.fixture
async def anyone() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=90) as anyone:
        yield anyone


@pytest.fixture
async def paints(mongo: Mongo, store: S3ObjectStore, key: CreatedKey) -> AsyncIterator[Painter]:
    async with painter(mongo, store, key.project) as paints:
        yield paints


@pytest.fixture
def asked() -> dict[str, str]:
    return {"prompt": f"грузовик едет по горной дороге {uuid4()}", "aspectRatio": "16:9"}


async def signed(client: httpx2.AsyncClient, api: ApiProcess, **body: Any) -> dict[str, Any]:
    answer = await client.post(api.url + URLS, json=body)
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def query(url: str) -> str:
    return url[url.index(LIVE) :]


async def test_50_misses_at_once_over_two_processes_make_one_picture(
    apis: tuple[ApiProcess, ApiProcess],
    client: httpx2.AsyncClient,
    paints: Painter,
    asked: dict[str, str],
) -> None:
    paints.hold = True
    asking = [
        asyncio.create_task(client.get(apis[n % 2].url + LIVE, params=asked)) for n in range(50)
    ]
    await asyncio.wait(asking, timeout=2)
    paints.hold = False
    answers = await asyncio.gather(*asking)
    missed = [answer for answer in answers if answer.headers["x-cache-status"] == "MISS"]

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.content for answer in answers} == {f"a picture of {asked['prompt']}".encode()}
    assert len(missed) > 25  # of both processes; on a busy machine some come to ask later
    assert {answer.headers["x-generation-id"] for answer in missed} == {str(paints.seen[0])}
    assert {answer.headers["cache-control"] for answer in answers} == {YEAR}
    assert len(paints.seen) == 1


async def test_hits_are_counted_over_all_processes_and_make_nothing(
    apis: tuple[ApiProcess, ApiProcess],
    client: httpx2.AsyncClient,
    mongo: Mongo,
    paints: Painter,
    asked: dict[str, str],
) -> None:
    miss = await client.get(apis[0].url + LIVE, params=asked)
    hits = await asyncio.gather(
        *(client.get(apis[n % 2].url + LIVE, params=asked) for n in range(50))
    )

    assert {hit.headers["x-cache-status"] for hit in hits} == {"HIT"}
    assert {hit.headers["x-image-id"] for hit in hits} == {miss.headers["x-image-id"]}
    assert not any("x-generation-id" in hit.headers for hit in hits)
    assert len(paints.seen) == 1

    counted = {"job_id": UUID(miss.headers["x-generation-id"]), "hits": 50}
    await until_answered(lambda: mongo.live.find_one(counted))
    next_one = await client.get(apis[1].url + LIVE, params=asked)
    assert next_one.headers["x-cache-hit-count"] == "51"


async def test_a_picture_is_in_the_library(
    apis: tuple[ApiProcess, ApiProcess],
    client: httpx2.AsyncClient,
    paints: Painter,
    asked: dict[str, str],
) -> None:
    miss = await client.get(apis[0].url + LIVE, params=asked)

    image = await client.get(f"{apis[1].url}/api/v1/images/{miss.headers['x-image-id']}")
    listed = await client.get(f"{apis[1].url}/api/v1/generations")

    assert image.json()["data"]["generationId"] == miss.headers["x-generation-id"]
    (generation,) = listed.json()["data"]
    assert generation["id"] == miss.headers["x-generation-id"]
    assert (generation["prompt"], generation["flowId"]) == (asked["prompt"], None)
    assert generation["meta"] == {"live": True}
    assert len(paints.seen) == 1


@pytest.mark.parametrize("permanent", ["false", "true"])
@pytest.mark.parametrize("thing", ["images", "generations"])
async def test_a_picture_that_was_deleted_is_made_again(
    *,
    apis: tuple[ApiProcess, ApiProcess],
    client: httpx2.AsyncClient,
    paints: Painter,
    asked: dict[str, str],
    thing: str,
    permanent: str,
) -> None:
    first = await client.get(apis[0].url + LIVE, params=asked)
    name = first.headers["x-image-id" if thing == "images" else "x-generation-id"]

    deleted = await client.delete(
        f"{apis[0].url}/api/v1/{thing}/{name}", params={"permanent": permanent}
    )
    second = await client.get(apis[1].url + LIVE, params=asked)

    assert deleted.status_code == 200
    assert second.headers["x-cache-status"] == "MISS"
    assert second.headers["x-image-id"] != first.headers["x-image-id"]
    assert len(paints.seen) == 2


async def test_a_generation_that_is_begun_again_shows_its_new_picture(
    apis: tuple[ApiProcess, ApiProcess],
    client: httpx2.AsyncClient,
    paints: Painter,
    asked: dict[str, str],
) -> None:
    first = await client.get(apis[0].url + LIVE, params=asked)
    paints.hold = True
    generation = first.headers["x-generation-id"]

    again = await client.post(f"{apis[0].url}/api/v1/generations/{generation}/regenerate")
    meanwhile = await client.get(apis[1].url + LIVE, params=asked)
    paints.hold = False

    async def shown() -> bool:
        hit = await client.get(apis[1].url + LIVE, params=asked)
        assert hit.headers["x-cache-status"] == "HIT"
        return hit.headers["x-image-id"] != first.headers["x-image-id"]

    assert again.status_code == 200, again.text
    assert meanwhile.headers["x-image-id"] == first.headers["x-image-id"]
    assert paints.seen == [UUID(generation)]
    assert await until_answered(shown)


async def test_a_failed_picture_is_tried_again_but_not_at_once(
    apis: tuple[ApiProcess, ApiProcess],
    client: httpx2.AsyncClient,
    mongo: Mongo,
    paints: Painter,
    asked: dict[str, str],
) -> None:
    paints.fail = True
    answers = [await client.get(apis[n % 2].url + LIVE, params=asked) for n in range(4)]
    paints.fail = False

    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    waits = [int(answer.headers["retry-after"]) for answer in answers]
    assert all(1 <= wait <= FIRST_PAUSE.total_seconds() for wait in waits)
    (failed,) = paints.seen

    earlier = {"$subtract": [f"$state.runs.{failed}.ended_at", 60_000]}
    await mongo.jobs.update_one(
        {"_id": failed}, [{"$set": {f"state.runs.{failed}.ended_at": earlier}}]
    )
    answer = await client.get(apis[1].url + LIVE, params=asked)

    assert (answer.status_code, answer.headers["x-cache-status"]) == (200, "MISS")
    assert len(paints.seen) == 2


async def test_a_cap_is_exact_over_two_processes_and_hits_go_on(
    apis: tuple[ApiProcess, ApiProcess],
    client: httpx2.AsyncClient,
    anyone: httpx2.AsyncClient,
    paints: Painter,
) -> None:
    prompts = [f"picture {number}" for number in range(40)]
    made = await signed(client, apis[0], params={"prompt": prompts}, maxImages=5)
    path = query(made["url"])

    async def ask(number: int) -> httpx2.Response:
        return await anyone.get(f"{apis[number % 2].url}{path}&prompt={prompts[number % 40]}")

    first = await asyncio.gather(*map(ask, range(40)))
    again = await asyncio.gather(*map(ask, range(1, 41)))

    assert Counter(answer.status_code for answer in first) == {200: 5, 403: 35}
    assert len(paints.seen) == 5
    assert Counter(answer.headers.get("x-cache-status") for answer in again) == {"HIT": 5, None: 35}
    (row,) = (await client.get(apis[0].url + URLS)).json()["data"]
    assert (row["imageCount"], row["maxImages"]) == (5, 5)


async def test_one_picture_counts_once_however_many_ask_and_others_urls_pictures_not_at_all(
    apis: tuple[ApiProcess, ApiProcess],
    client: httpx2.AsyncClient,
    anyone: httpx2.AsyncClient,
    paints: Painter,
) -> None:
    await client.get(apis[0].url + LIVE, params={"prompt": "there already"})
    prompts = ["there already", "one", "two"]
    made = await signed(client, apis[0], params={"prompt": prompts}, maxImages=2)
    path = query(made["url"])

    answers = await asyncio.gather(
        *(anyone.get(f"{apis[n % 2].url}{path}&prompt={prompts[n % 3]}") for n in range(30))
    )

    assert {answer.status_code for answer in answers} == {200}
    assert len(paints.seen) == 3


async def test_a_revoked_url_stops_at_once_on_every_replica(
    apis: tuple[ApiProcess, ApiProcess],
    client: httpx2.AsyncClient,
    anyone: httpx2.AsyncClient,
    paints: Painter,
) -> None:
    made = await signed(client, apis[0], prompt="a cat", expiresIn=3600)
    path = query(made["url"])
    before = await anyone.get(apis[1].url + path)

    await client.delete(f"{apis[0].url}{URLS}/{made['id']}")
    after = [await anyone.get(api.url + path) for api in apis]

    assert before.status_code == 200
    age = int(before.headers["cache-control"].removeprefix("public, max-age="))
    assert 3500 < age <= 3600
    assert [answer.status_code for answer in after] == [403, 403]
    assert len(paints.seen) == 1


async def test_no_byte_of_a_url_can_be_another(
    apis: tuple[ApiProcess, ApiProcess],
    client: httpx2.AsyncClient,
    anyone: httpx2.AsyncClient,
    paints: Painter,
) -> None:
    made = await signed(client, apis[0], prompt="a cat")
    path = query(made["url"])
    assert (await anyone.get(apis[1].url + path)).status_code == 200
    token = path.index("token=") + len("token=")

    for place in range(1, len(path)):
        other = "A" if path[place] != "A" else "B"
        answer = await anyone.get(f"{apis[1].url}{path[:place]}{other}{path[place + 1 :]}")
        assert answer.status_code == 403 if place >= token else answer.status_code in (401, 404)
    assert len(paints.seen) == 1


async def test_an_expired_url_is_refused(
    apis: tuple[ApiProcess, ApiProcess],
    client: httpx2.AsyncClient,
    anyone: httpx2.AsyncClient,
    paints: Painter,
) -> None:
    path = query((await signed(client, apis[0], prompt="a cat", expiresIn=2))["url"])
    first = await anyone.get(apis[0].url + path)

    async def refused() -> httpx2.Response | None:
        answer = await anyone.get(apis[1].url + path)
        return answer if answer.status_code == 403 else None

    answer = await until_answered(refused, 10)

    assert int(first.headers["cache-control"].removeprefix("public, max-age=")) < 2
    assert answer is not None
    assert answer.json()["error"]["message"] == "The live URL has expired"


async def test_while_kafka_is_away_what_is_there_is_served_and_the_rest_waits(
    *,
    migrated: Settings,
    apis: tuple[ApiProcess, ApiProcess],
    client: httpx2.AsyncClient,
    mongo: Mongo,
    paints: Painter,
    asked: dict[str, str],
) -> None:
    await client.get(apis[0].url + LIVE, params=asked)
    async with api_process(migrated, DARKROOM_KAFKA__BOOTSTRAP_SERVERS=NOWHERE) as alone:
        hit = await client.get(alone.url + LIVE, params=asked)
        paints.hold = True
        other = asked | {"seed": "7"}
        late = await client.get(alone.url + LIVE, params=other, headers={"prefer": "wait=1"})

    assert (hit.status_code, hit.headers["x-cache-status"]) == (200, "HIT")
    assert (late.status_code, late.json()["error"]["code"]) == (503, "not_ready")
    waiting = {"spec.prompt": asked["prompt"], "published": False, "spec.seed": 7}
    assert await mongo.jobs.count_documents(waiting) == 1
    paints.hold = False
    joined = await client.get(apis[0].url + LIVE, params=other)
    assert joined.status_code == 200
    assert len(paints.seen) == 2


async def test_a_process_that_dies_between_claim_and_answer_leaves_a_job_that_others_join(
    *,
    migrated: Settings,
    apis: tuple[ApiProcess, ApiProcess],
    client: httpx2.AsyncClient,
    mongo: Mongo,
    paints: Painter,
    asked: dict[str, str],
) -> None:
    paints.hold = True
    async with (
        silent_broker() as broker,
        api_process(migrated, DARKROOM_KAFKA__BOOTSTRAP_SERVERS=broker) as victim,
    ):
        lost = asyncio.create_task(client.get(victim.url + LIVE, params=asked))
        wanted = {"spec.prompt": asked["prompt"]}
        await until_answered(lambda: mongo.jobs.find_one(wanted))
        await victim.kill()
        with pytest.raises(httpx2.TransportError):
            await lost
    paints.hold = False

    answer = await client.get(apis[0].url + LIVE, params=asked)

    assert (answer.status_code, answer.headers["x-cache-status"]) == (200, "MISS")
    assert len(paints.seen) == 1
