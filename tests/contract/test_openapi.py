"""The OpenAPI document: valid, whole, and shown by a page that asks nobody else."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate
from starlette.routing import Route
from starlette.testclient import TestClient

from api import metrics
from api.app import ROUTES
from api.documents import pages
from api.documents.described import OPERATIONS
from api.problems import shape_of
from schemas.wire.studio import ErrorReply
from tests.unit.api_fakes import Parts

#: For people, for Prometheus, or the documents themselves.
UNDESCRIBED = {route.endpoint for route in (*pages.routes, *metrics.routes)}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with Parts().client() as client:
        yield client


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    validate(document)


def test_every_route_is_described_and_nothing_else_is() -> None:
    endpoints = {route.endpoint for route in ROUTES if isinstance(route, Route)}

    assert len(ROUTES) == sum(isinstance(route, Route) for route in ROUTES)
    assert endpoints - UNDESCRIBED == set(OPERATIONS)


def test_every_operation_has_an_id_of_its_own(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document)]

    assert len(ids) == len(set(ids)) == len(operations(document))


def test_every_refusal_has_its_dialect_s_shape(document: dict[str, Any]) -> None:
    submit = document["paths"]["/api/v1/images/generate-async"]["post"]["responses"]

    assert set(submit) == {"200", "202", "401", "403", "413", "422", "429", "503"}
    for status in ("401", "403", "413", "422", "429", "503"):
        (schema,) = [each["schema"] for each in submit[status]["content"].values()]
        assert schema == {"$ref": "#/components/schemas/Refusal"}
    assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= set(submit["429"]["headers"])


def test_studio_refuses_bad_input_with_400_in_its_shape(document: dict[str, Any]) -> None:
    flows = document["paths"]["/api/v1/flows"]

    assert {"400", "401", "403", "429", "503"} <= set(flows["get"]["responses"])
    assert "422" not in flows["get"]["responses"]
    assert "422" in flows["post"]["responses"], "its Idempotency-Key may have been used before"
    for operation in flows.values():
        (refusal,) = operation["responses"]["400"]["content"].values()
        assert refusal["schema"] == {"$ref": "#/components/schemas/ErrorReply"}


def test_every_answer_of_studio_may_be_one_too_many_and_says_what_is_left(
    document: dict[str, Any],
) -> None:
    counted = [
        operation
        for path, methods in document["paths"].items()
        for operation in methods.values()
        if shape_of(path).model is ErrorReply and operation["security"]
    ]

    assert counted
    for operation in counted:
        responses = operation["responses"]
        assert "429" in responses, operation["operationId"]
        for status in {"200", "201"} & set(responses):
            assert "RateLimit" in responses[status]["headers"], operation["operationId"]


def test_every_model_that_is_named_is_there_and_used(document: dict[str, Any]) -> None:
    named = set(re.findall(r"#/components/schemas/(\w+)", str(document)))

    assert named == set(document["components"]["schemas"])


@pytest.mark.parametrize("page", ["/docs", "/docs/events"])
def test_a_page_is_whole_without_the_internet(client: TestClient, page: str) -> None:
    response = client.get(page)
    loaded = re.findall(r'(?:src|link rel="stylesheet" href)="([^"]+)"', response.text)

    assert response.status_code == 200
    assert response.headers["content-security-policy"].startswith("default-src 'self'")
    assert loaded
    assert {client.get(path).status_code for path in loaded} == {200}
    assert not re.search(r"<style|style=|<script>|https?://", response.text)


def test_what_is_no_asset_is_not_found(client: TestClient) -> None:
    assert client.get("/docs/..%2fpages.py").status_code == 404
    assert client.get("/docs/nothing.js").status_code == 404
