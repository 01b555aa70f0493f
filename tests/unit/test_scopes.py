"""What a key without every right may do, at every route there is."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from api.app import ROUTES
from api.documents.described import OPERATIONS
from tests.unit.api_fakes import LIVE_KEY, READ_KEY, Parts

READING = {"GET", "HEAD"}
FOR_LIVE = {("GET", "/api/v1/live"), ("HEAD", "/api/v1/live")}
#: Reading, and yet not for a reader: who else has a key, and which URLs stand for one.
FULL_ALONE = {"/api/v1/keys", "/api/v1/live/urls"}
GUARDED = [
    (method, route.path_format)
    for route in ROUTES
    if route.endpoint in OPERATIONS and OPERATIONS[route.endpoint].needs_key
    for method in sorted(route.methods or ())
]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with Parts().client() as client:
        yield client


def asked(client: TestClient, method: str, path: str, key: str) -> int:
    names = {
        name: str(UUID(int=1))
        for route in ROUTES
        if isinstance(route, Route) and route.path_format == path
        for name in route.param_convertors
    }
    headers = {"x-api-key": key}
    return client.request(method, path.format(**names), headers=headers).status_code


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_a_reader_reads_and_does_nothing_else(client: TestClient, method: str, path: str) -> None:
    refused = asked(client, method, path, READ_KEY) == 403

    assert refused == (method not in READING or path in FULL_ALONE or (method, path) in FOR_LIVE)


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_a_live_key_gets_live_pictures_and_nothing_else(
    client: TestClient, method: str, path: str
) -> None:
    refused = asked(client, method, path, LIVE_KEY) == 403

    assert refused == ((method, path) not in FOR_LIVE)
