"""Keys in a real MongoDB: shown once, stored as hashes, stopped at once."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from services.accounts import Keys
from services.errors import NotFound, Unauthorized
from services.mongo import Mongo, open_mongo
from services.settings import Settings
from services.signing import Signer

pytestmark = pytest.mark.connected

SIGNER = Signer("a master secret of tests")


@pytest.fixture
async def mongo(stack: Settings) -> AsyncIterator[Mongo]:
    async with open_mongo(stack.mongo) as mongo:
        yield mongo


@pytest.fixture
def keys(mongo: Mongo) -> Keys:
    return Keys(mongo, SIGNER)


@pytest.fixture
def project() -> str:
    return f"test-{uuid4()}"


async def test_a_created_key_stands_for_its_project(keys: Keys, project: str) -> None:
    created = await keys.create(project, limit="5/minute", scopes=("read",))

    caller = await keys.authenticate(created.key)

    assert (caller.project, caller.key_id) == (project, created.id)
    assert (caller.limit, caller.scopes) == ("5/minute", ("read",))
    assert created.signing_key_id == created.id
    assert created.signing_secret == SIGNER.secret(created.id)


async def test_nothing_that_is_stored_gives_the_key_away(
    mongo: Mongo, keys: Keys, project: str
) -> None:
    created = await keys.create(project)

    document = await mongo.keys.find_one({"_id": created.id})

    secret = created.key.rpartition("_")[2]
    assert secret not in str(document)
    assert created.signing_secret not in str(document)


async def test_unknown_malformed_and_altered_keys_are_unauthorised(
    keys: Keys, project: str
) -> None:
    key = (await keys.create(project)).key
    altered = key[:-1] + ("a" if key[-1] != "a" else "b")
    unknown = f"dk_{'0' * 12}_{key[-43:]}"

    for text in (None, "", "dk_", altered, unknown, key + "a", f" {key}"):
        with pytest.raises(Unauthorized):
            await keys.authenticate(text)


async def test_a_revoked_key_stops_at_once_on_every_replica(
    mongo: Mongo, keys: Keys, project: str
) -> None:
    created = await keys.create(project)
    replica = Keys(mongo, SIGNER)
    await replica.authenticate(created.key)

    first = await keys.revoke(created.id)
    again = await keys.revoke(created.id)

    assert first.revoked_at == again.revoked_at
    for each in (keys, replica):
        with pytest.raises(Unauthorized):
            await each.authenticate(created.key)


async def test_a_key_stops_when_it_expires(keys: Keys, project: str) -> None:
    created = await keys.create(project, expires_in=timedelta(milliseconds=-1))

    with pytest.raises(Unauthorized):
        await keys.authenticate(created.key)


async def test_a_list_shows_the_project_s_keys_newest_first(keys: Keys, project: str) -> None:
    first = await keys.create(project, "first")
    await keys.create(f"{project}-other")
    second = await keys.create(project, "second", limit=None)

    found = await keys.ls(project)

    assert {key.id for key in found} == {first.id, second.id}
    assert [key.created_at for key in found] == sorted(
        (key.created_at for key in found), reverse=True
    )


async def test_a_key_remembers_when_it_was_used(keys: Keys, project: str) -> None:
    created = await keys.create(project)
    await keys.authenticate(created.key)

    found = await keys.find(created.id)

    assert found is not None
    assert found.last_used_at is not None


async def test_revoking_what_is_not_there_or_not_ours_is_not_found(
    keys: Keys, project: str
) -> None:
    created = await keys.create(project)

    with pytest.raises(NotFound):
        await keys.revoke("nothing")
    with pytest.raises(NotFound):
        await keys.revoke(created.id, "another")
    assert (await keys.authenticate(created.key)).project == project
