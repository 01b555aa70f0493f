"""Whatever schemathesis thinks of: no answer is a 5xx, and none is missing from the document."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import allow_header_conformance, not_a_server_error
from schemathesis.specs.openapi import checks

from api.app import ROUTES
from api.documents.described import OPERATIONS
from api.documents.openapi import document
from services.accounts import Keys
from services.issuance import CreatedKey
from services.mongo import open_mongo
from services.object_store import S3ObjectStore
from services.settings import Settings
from services.signing import Signer
from services.tokens import Tokens
from tests.connected.api_processes import ApiProcess, api_process
from tests.connected.library_parts import completed
from tests.connected.projection_parts import stored_job

pytestmark = [pytest.mark.connected, pytest.mark.timeout(300)]

GENERATE = "/api/v1/images/generate"
SUBMIT = f"{GENERATE}-async"
OPENAI = "/v1/images/"
LIVE = "/api/v1/live"
RECIPES = "/api/image-gen/"
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.ignored_auth,
    checks.unsupported_method,
    allow_header_conformance,
]
STRICT = [*CHECKS, checks.negative_data_rejection]

BOUNDED = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)

schema = schemathesis.openapi.from_dict(document(ROUTES, OPERATIONS))


@pytest.fixture(scope="module")
async def key(migrated: Settings) -> CreatedKey:
    signer = Signer(migrated.master_secret.get_secret_value())
    async with open_mongo(migrated.mongo) as mongo:
        return await Keys(mongo, signer).create(f"test-{uuid4()}", limit=None)


@pytest.fixture(scope="module")
def token(migrated: Settings, key: CreatedKey) -> str:
    """Of a user of the same project."""
    tokens = Tokens(migrated, Signer(migrated.master_secret.get_secret_value()))
    return tokens.issue("ada", key.project, timedelta(hours=1))


@pytest.fixture(scope="module")
async def api(migrated: Settings) -> AsyncIterator[ApiProcess]:
    async with api_process(migrated) as api:
        yield api


@pytest.fixture
async def there(
    migrated: Settings, api: ApiProcess, key: CreatedKey, token: str
) -> Mapping[str, str]:
    """A value of each path parameter for which something is there, until a test deletes it."""
    path, content = f"generated/{uuid4()}.png", b"picture"
    async with S3ObjectStore.open(migrated.s3) as store:
        await store.put(path, content, "image/png", sha256(content).hexdigest())
    async with httpx2.AsyncClient(headers={"x-api-key": key.key}) as client:
        submitted = await client.post(api.url + SUBMIT, json={"prompt": "a red circle"})
        batch = {"images": [{"prompt": "a"}], "workflow": "draft_then_final"}
        batched = await client.post(f"{api.url}/api/v1/images/batch-generate", json=batch)
        spare = await client.post(f"{api.url}/api/v1/keys")
        preset = {"name": "Poster", "prompt": "a star"}
        await client.put(f"{api.url}/api/v1/presets/poster", json=preset)
        signed = await client.post(f"{api.url}{LIVE}/urls", json={"prompt": "a red circle"})
        asked = {"prompt": "a red circle", "flowAlias": "@there"}
        generated = (await client.post(f"{api.url}/api/v1/generations", json=asked)).json()["data"]
    async with httpx2.AsyncClient(headers=sent_with(RECIPES, key, token)) as client:
        recipe = f"{api.url}{RECIPES}recipes/17"
        await client.put(recipe, json={"title": "Soup", "steps": [{"description": "Boil."}]})
        depicted = await client.post(f"{recipe}/steps/batch")
    async with open_mongo(migrated.mongo) as mongo:
        image = await completed(mongo, await stored_job(mongo, UUID(generated["id"])))
    job = submitted.json()["job_id"]
    key_id = spare.json()["data"]["id"]
    url_id = signed.json()["data"]["id"]
    return {
        "job_id": job,
        "batch_id": batched.json()["batch_id"],
        "path": path,
        "name": "generation.accepted.v1.json",
        "key_id": key_id,
        "url_id": url_id,
        "generation_id": generated["id"],
        "flow_id": generated["flowId"],
        "image_id": str(image),
        "alias": "@there",
        "recipe_id": "17",
        "n": "2",
        "handle": depicted.json()["job_id"],
        "slug": "poster",
        "kind": "webp",
        "model": "tiny",
    }


@schema.parametrize()
@BOUNDED
def test_every_answer_is_one_that_the_document_names(
    case: Case[Any], api: ApiProcess, key: CreatedKey, token: str
) -> None:
    waits = case.operation.path == LIVE or case.operation.path.startswith(OPENAI)
    if waits or case.operation.path == GENERATE:
        case.headers["Prefer"] = "wait=1"  # nothing here makes pictures
    else:
        case.headers.pop("Prefer", None)
    case.call_and_validate(
        base_url=api.url,
        headers=sent_with(case.operation.path, key, token),
        checks=STRICT,
        excluded_checks=[not_a_server_error] if waits else [],  # not ready
    )


@schema.include(path_regex="{").parametrize()
@BOUNDED
def test_so_is_every_answer_about_what_is_there(
    case: Case[Any], api: ApiProcess, key: CreatedKey, token: str, there: Mapping[str, str]
) -> None:
    case.headers.pop("Prefer", None)
    case.path_parameters.update({name: there[name] for name in case.path_parameters})
    headers = sent_with(case.operation.path, key, token)
    case.call_and_validate(base_url=api.url, headers=headers, checks=CHECKS)


def sent_with(path: str, key: CreatedKey, token: str) -> dict[str, str]:
    """What the dialect of `path` knows its callers by."""
    of_user = path.startswith(RECIPES)
    return {"Authorization": f"Bearer {token}"} if of_user else {"X-API-Key": key.key}
