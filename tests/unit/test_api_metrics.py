"""What the API counts, under which names, and who may read it."""

from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from api import metrics
from services.settings import MetricsSettings
from tests.unit.api_fakes import KEY, Parts

NEARBY = ("127.0.0.1", 50_000)
POLL = "/api/v1/images/jobs/{job_id:uuid}"


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def client(parts: Parts) -> Iterator[TestClient]:
    with parts.client() as client:
        yield client


def counted(method: str, route: str, status: str) -> float:
    labels = {"method": method, "route": route, "status": status}
    return REGISTRY.get_sample_value("darkroom_http_request_seconds_count", labels) or 0.0


def test_a_request_is_counted_under_its_route_s_template(client: TestClient) -> None:
    before = counted("GET", POLL, "404")

    for _ in range(3):
        path = "/api/v1/images/jobs/00000000-0000-4000-8000-000000000000"
        client.get(path, headers={"x-api-key": KEY})

    assert counted("GET", POLL, "404") == before + 3


def test_paths_and_methods_that_callers_invent_make_one_series(client: TestClient) -> None:
    before = counted("other", "other", "404")

    client.request("BREW", "/pot/1")
    client.request("DRINK", "/pot/2")

    assert counted("other", "other", "404") == before + 2
    assert not [
        sample
        for family in REGISTRY.collect()
        for sample in family.samples
        if "/pot" in str(sample.labels)
    ]


def test_the_numbers_are_in_prometheus_text_with_help_and_units(parts: Parts) -> None:
    with _near(parts) as client:
        response = client.get("/metrics")

    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    assert response.headers["content-type"].startswith("text/plain; version=")
    ours = [family for name, family in families.items() if name.startswith("darkroom_")]
    assert len(ours) > 10
    assert all(family.documentation for family in ours)
    assert families["darkroom_http_request_seconds"].type == "histogram"


@pytest.mark.parametrize("header", metrics.FORWARDED)
def test_what_a_proxy_hands_on_does_not_count_as_near(parts: Parts, header: str) -> None:
    with _near(parts) as client:
        response = client.get("/metrics", headers={header: "203.0.113.7"})

    assert response.status_code == 404


@pytest.mark.parametrize(
    ("who", "client_host", "status"),
    [
        ("loopback", "127.0.0.1", 200),
        ("loopback", "::1", 200),
        ("loopback", "203.0.113.7", 404),
        ("everyone", "203.0.113.7", 200),
        ("nobody", "127.0.0.1", 404),
    ],
)
def test_the_setting_says_who_may_read_them(
    parts: Parts, who: str, client_host: str, status: int
) -> None:
    allowed = MetricsSettings.model_validate({"api": who})
    parts.settings = parts.settings.model_copy(update={"metrics": allowed})

    with TestClient(parts.client().app, client=(client_host, 50_000)) as client:
        response = client.get("/metrics")

    assert response.status_code == status


def test_the_caller_s_trace_is_in_what_is_logged_of_its_request(
    parts: Parts, client: TestClient
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    parts.keys.outage = RuntimeError("unforeseen")

    with capture_logs(processors=[merge_contextvars]) as lines:
        client.get("/api/v1/images/jobs", headers={"traceparent": trace, "x-api-key": KEY})

    failures = [line for line in lines if line["event"] == "request_failed"]
    assert [line["traceparent"] for line in failures] == [trace]


def _near(parts: Parts) -> TestClient:
    return TestClient(parts.client().app, client=NEARBY)
