"""Keys over HTTP, at two API processes: what one of them says holds at the other at once."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from services.accounts import Keys
from services.issuance import CreatedKey
from services.mongo import Mongo, open_mongo
from services.settings import Settings
from services.signing import Signer
from tests.connected.api_processes import api_process

pytestmark = pytest.mark.connected

KEYS = "/api/v1/keys"
JOBS = "/api/v1/images/jobs"
POLL = f"{JOBS}/{uuid4()}"
SHOWN = {
    "id",
    "name",
    "scopes",
    "limit",
    "prefix",
    "createdAt",
    "lastUsedAt",
    "expiresAt",
    "revokedAt",
}
SECRETS = {"key", "signingKeyId", "signingSecret"}


@pytest.fixture(scope="module")
async def replicas(migrated: Settings) -> AsyncIterator[list[httpx2.AsyncClient]]:
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(api_process(migrated)) for _ in range(2)]
        yield [
            await stack.enter_async_context(httpx2.AsyncClient(base_url=each.url, timeout=60))
            for each in processes
        ]


@pytest.fixture
async def mongo(migrated: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(migrated.mongo) as mongo:
        yield mongo


@pytest.fixture
async def owner(migrated: Settings, mongo: Mongo) -> CreatedKey:
    return await own_key(migrated, mongo)


@pytest.fixture
def headers(owner: CreatedKey) -> Mapping[str, str]:
    return {"x-api-key": owner.key}


async def own_key(settings: Settings, mongo: Mongo) -> CreatedKey:
    signer = Signer(settings.master_secret.get_secret_value())
    return await Keys(mongo, signer).create(f"test-{uuid4()}", limit=None)


async def made(
    api: httpx2.AsyncClient, headers: Mapping[str, str], path: str = KEYS, **body: Any
) -> dict[str, Any]:
    answer = await api.post(path, json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


async def works(api: httpx2.AsyncClient, key: str, path: str = JOBS) -> bool:
    answer = await api.get(path, headers={"x-api-key": key})
    assert answer.status_code in (401, 404 if path == POLL else 200)
    return answer.status_code != 401


async def refusal(answer: httpx2.Response) -> tuple[int, str]:
    body = answer.json()
    assert body["success"] is False
    return answer.status_code, body["error"]["message"]


async def test_a_key_is_shown_once_with_the_secret_of_the_second_door(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str], owner: CreatedKey, mongo: Mongo
) -> None:
    one, other = replicas
    answer = await one.post(
        KEYS,
        json={"name": "shop", "scopes": ["read", "live"], "limit": None, "expiresIn": 3600},
        headers=headers,
    )
    key = answer.json()["data"]
    listed = await other.get(KEYS, headers=headers)

    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert set(key) == SHOWN | SECRETS
    assert (key["name"], key["scopes"], key["limit"]) == ("shop", ["read", "live"], None)
    lifetime = datetime.fromisoformat(key["expiresAt"]) - datetime.fromisoformat(key["createdAt"])
    assert lifetime.total_seconds() == 3600
    assert await works(other, key["key"])
    assert [row["id"] for row in listed.json()["data"]] == [key["id"], owner.id]
    assert set(listed.json()["data"][0]) == SHOWN
    assert key["key"] not in listed.text
    stored = str(await mongo.keys.find_one({"_id": key["id"]}))
    assert key["key"].rpartition("_")[2] not in stored
    assert key["signingSecret"] not in stored


async def test_what_is_not_said_is_full_100_an_hour_and_for_ever(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str]
) -> None:
    answer = await replicas[0].post(KEYS, headers=headers)

    key = answer.json()["data"]
    assert answer.status_code == 201
    assert (key["scopes"], key["limit"], key["expiresAt"]) == (["full"], "100/hour", None)


@pytest.mark.parametrize(
    "body",
    [
        {"scopes": []},
        {"scopes": ["write"]},
        {"limit": "5"},
        {"expiresIn": 0},
        {"expiresIn": 10**12},
        {"expiresIn": "3600"},
        {"name": "a" * 201},
        ["full"],
    ],
)
async def test_a_body_that_makes_no_sense_is_400(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str], body: object
) -> None:
    answer = await replicas[0].post(KEYS, json=body, headers=headers)

    assert (await refusal(answer))[0] == 400


async def test_lists_page(replicas: list[httpx2.AsyncClient], headers: Mapping[str, str]) -> None:
    one, other = replicas
    for number in range(3):
        await made(one, headers, name=str(number))

    page = (await other.get(KEYS, params={"limit": 2, "offset": 1}, headers=headers)).json()

    assert [key["name"] for key in page["data"]] == ["1", "0"]
    assert page["pagination"] == {"limit": 2, "offset": 1, "total": 4, "hasMore": True}


@pytest.mark.parametrize("path", [JOBS, POLL])
async def test_a_revoked_key_stops_at_every_replica_before_the_answer(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str], path: str
) -> None:
    one, other = replicas
    key = await made(one, headers)
    for api in replicas:
        assert await works(api, key["key"], path)

    first = await one.delete(f"{KEYS}/{key['id']}", headers=headers)
    still = [await works(api, key["key"], path) for api in (other, one)]
    again = await other.delete(f"{KEYS}/{key['id']}", headers=headers)

    assert still == [False, False]
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["data"]["revokedAt"] == again.json()["data"]["revokedAt"]
    assert first.json()["data"]["revokedAt"] is not None


@pytest.mark.parametrize("path", [JOBS, POLL])
async def test_under_load_nothing_that_is_asked_after_the_revocation_gets_through(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str], path: str
) -> None:
    key = await made(replicas[0], headers, limit=None)
    revoked = asyncio.Event()

    async def asking(api: httpx2.AsyncClient) -> list[bool]:
        late: list[bool] = []
        while len(late) < 20:
            after = revoked.is_set()
            answer = await works(api, key["key"], path)
            if after:
                late.append(answer)
        return late

    busy = [asyncio.create_task(asking(replicas[n % 2])) for n in range(6)]
    await replicas[0].delete(f"{KEYS}/{key['id']}", headers=headers)
    revoked.set()

    assert [any(await task) for task in busy] == [False] * 6


async def test_an_expired_key_stops_and_can_be_rotated_no_more(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str], mongo: Mongo
) -> None:
    one, other = replicas
    key = await made(one, headers, expiresIn=3600)
    moved = datetime.fromisoformat(key["createdAt"])
    await mongo.keys.update_one({"_id": key["id"]}, {"$set": {"expires_at": moved}})

    rotated = await one.post(f"{KEYS}/{key['id']}/rotate", json={}, headers=headers)

    assert not await works(other, key["key"])
    assert await refusal(rotated) == (400, "The key has ended, or was rotated before")


async def test_a_rotation_without_overlap_changes_keys_at_once(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str]
) -> None:
    one, other = replicas
    old = await made(one, headers, name="shop", scopes=["read"], limit="5/minute", expiresIn=60)

    new = await made(one, headers, f"{KEYS}/{old['id']}/rotate")

    assert (await works(other, old["key"]), await works(other, new["key"])) == (False, True)
    kept = ("name", "scopes", "limit")
    assert [new[name] for name in kept] == [old[name] for name in kept]
    lifetime = datetime.fromisoformat(new["expiresAt"]) - datetime.fromisoformat(new["createdAt"])
    assert lifetime.total_seconds() == 60
    assert new["signingSecret"] != old["signingSecret"]


async def test_a_rotation_with_overlap_leaves_both_until_it_is_over(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str], mongo: Mongo
) -> None:
    one, other = replicas
    old = await made(one, headers)

    new = await made(other, headers, f"{KEYS}/{old['id']}/rotate", overlapSeconds=3600)
    listed = (await one.get(KEYS, headers=headers)).json()["data"]
    both = [await works(one, key["key"]) for key in (old, new)]
    ends = next(datetime.fromisoformat(k["expiresAt"]) for k in listed if k["id"] == old["id"])
    await mongo.keys.update_one(
        {"_id": old["id"]}, {"$set": {"expires_at": datetime.fromisoformat(old["createdAt"])}}
    )
    after = [await works(api, old["key"]) for api in replicas]

    assert both == [True, True]
    assert (ends - datetime.fromisoformat(new["createdAt"])).total_seconds() == 3600
    assert new["expiresAt"] is None
    assert after == [False, False]


async def test_an_overlap_never_lengthens_a_life(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str], mongo: Mongo
) -> None:
    old = await made(replicas[0], headers, expiresIn=60)

    await made(replicas[0], headers, f"{KEYS}/{old['id']}/rotate", overlapSeconds=3600)

    stored = await mongo.keys.find_one({"_id": old["id"]})
    assert stored is not None
    assert stored["expires_at"] == datetime.fromisoformat(old["expiresAt"])


async def test_of_many_rotations_at_once_one_wins(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str]
) -> None:
    old = await made(replicas[0], headers)
    path = f"{KEYS}/{old['id']}/rotate"

    answers = await asyncio.gather(
        *(
            replicas[n % 2].post(path, json={"overlapSeconds": 60}, headers=headers)
            for n in range(10)
        )
    )

    assert sorted(answer.status_code for answer in answers) == [201] + [400] * 9


async def test_a_repeated_request_shows_the_same_key_and_makes_no_other(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str], mongo: Mongo, owner: CreatedKey
) -> None:
    named = {**headers, "Idempotency-Key": "once"}
    answers = await asyncio.gather(
        *(replicas[n % 2].post(KEYS, json={"name": "shop"}, headers=named) for n in range(8))
    )
    other = await replicas[0].post(KEYS, json={"name": "till"}, headers=named)

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["data"]["key"] for answer in answers}) == 1
    replayed = [answer.headers.get("idempotent-replayed") for answer in answers]
    assert sorted(replayed, key=str) == [None] + ["true"] * 7
    assert other.status_code == 422
    assert await mongo.keys.count_documents({"project": owner.project}) == 2
    assert await works(replicas[1], answers[0].json()["data"]["key"])


async def test_a_repeated_rotation_shows_the_same_key_again(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str]
) -> None:
    old = await made(replicas[0], headers)
    named = {**headers, "Idempotency-Key": "turn"}
    path = f"{KEYS}/{old['id']}/rotate"

    first = await made(replicas[0], named, path)
    again = await made(replicas[1], named, path)

    assert first == again


async def test_after_its_day_an_idempotency_key_makes_another_key(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str], mongo: Mongo
) -> None:
    named = {**headers, "Idempotency-Key": "daily"}
    first = await made(replicas[0], named)
    long_ago = datetime.fromisoformat(first["createdAt"])
    past = {"$set": {"idempotency.expires_at": long_ago}}
    await mongo.keys.update_one({"_id": first["id"]}, past)

    second = await made(replicas[1], named)

    assert first["key"] != second["key"]
    assert await works(replicas[0], first["key"])


async def test_a_key_of_another_project_is_not_there(
    replicas: list[httpx2.AsyncClient], migrated: Settings, mongo: Mongo, headers: Mapping[str, str]
) -> None:
    foreign = await own_key(migrated, mongo)
    api = replicas[0]
    paths = [f"{KEYS}/{foreign.id}", f"{KEYS}/nothing", f"{KEYS}/{uuid4()}"]

    revoked = [await api.delete(path, headers=headers) for path in paths]
    rotated = [await api.post(f"{path}/rotate", headers=headers) for path in paths]

    for answer in (*revoked, *rotated):
        assert await refusal(answer) == (404, "Key not found")
    assert await works(api, foreign.key)
    assert foreign.id not in (await api.get(KEYS, headers=headers)).text


@pytest.mark.parametrize("scopes", [["read"], ["live"], ["read", "live"]])
async def test_only_a_key_with_every_right_sees_or_makes_keys(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str], owner: CreatedKey, scopes: Any
) -> None:
    api = replicas[1]
    small = {"x-api-key": (await made(replicas[0], headers, scopes=scopes))["key"]}

    answers = [
        await api.post(KEYS, json={"scopes": ["full"]}, headers=small),
        await api.get(KEYS, headers=small),
        await api.delete(f"{KEYS}/{owner.id}", headers=small),
        await api.post(f"{KEYS}/{owner.id}/rotate", headers=small),
    ]

    for answer in answers:
        assert await refusal(answer) == (403, "The API key may not do this.")
    assert await works(api, owner.key)


async def test_the_feed_tells_of_keys_without_names_or_secrets(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str], owner: CreatedKey, mongo: Mongo
) -> None:
    old = await made(replicas[0], headers, name="nobody may read this", scopes=["read"])
    new = await made(replicas[0], headers, f"{KEYS}/{old['id']}/rotate", overlapSeconds=60)
    await replicas[1].delete(f"{KEYS}/{new['id']}", headers=headers)
    await replicas[1].delete(f"{KEYS}/{new['id']}", headers=headers)

    rows = mongo.library_outbox.find({"project": owner.project}).sort("sequence", 1)
    events = [json.loads(row["event"]) async for row in rows]

    told = [(event["type"].split(".")[3], event["data"]["key_id"]) for event in events]
    assert told == [
        ("created", owner.id),
        ("created", old["id"]),
        ("created", new["id"]),
        ("revoked", old["id"]),
        ("revoked", new["id"]),
    ]
    assert [event["data"]["sequence"] for event in events] == [1, 2, 3, 4, 5]
    assert events[3]["data"]["expires_at"] is not None
    for secret in (old["key"], old["signingSecret"], new["key"], "nobody may read this"):
        assert secret not in str(events)


async def test_a_new_key_was_never_used_and_a_used_one_was_just_now(
    replicas: list[httpx2.AsyncClient], headers: Mapping[str, str]
) -> None:
    key = await made(replicas[0], headers)
    await works(replicas[1], key["key"])

    (row,) = [
        each
        for each in (await replicas[0].get(KEYS, headers=headers)).json()["data"]
        if each["id"] == key["id"]
    ]

    assert key["lastUsedAt"] is None
    assert row["lastUsedAt"] >= key["createdAt"]
