"""A key's limit over HTTP: what counts, what is refused, and the fields that tell."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.unit.api_fakes import KEY, LIMITED_KEY, Parts

SUBMIT = "/api/v1/images/generate-async"
BODY = {"prompt": "a red circle"}
FIELDS = {"ratelimit", "ratelimit-policy"}


@pytest.fixture
def client() -> Iterator[TestClient]:
    with Parts().client() as client:
        client.headers["x-api-key"] = LIMITED_KEY
        yield client


def submit(client: TestClient, **headers: str) -> tuple[int, str | None]:
    answer = client.post(SUBMIT, json=BODY, headers=headers)
    return answer.status_code, answer.headers.get("ratelimit")


def test_each_submit_tells_the_policy_and_what_is_left(client: TestClient) -> None:
    first = client.post(SUBMIT, json=BODY)
    second = client.post(SUBMIT, json=BODY)

    assert first.headers["ratelimit-policy"] == '"default";q=2;w=3600'
    assert first.headers["ratelimit"] == '"default";r=1;t=3600'
    assert second.headers["ratelimit"] == '"default";r=0;t=3600'


def test_one_too_many_is_429_in_the_dialect_s_shape_and_says_when(client: TestClient) -> None:
    submit(client)
    submit(client)

    refused = client.post(SUBMIT, json=BODY)

    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "3600"
    assert refused.headers["ratelimit"] == '"default";r=0;t=3600'
    assert refused.json() == {"detail": "The limit of 2/hour is used up"}


def test_what_makes_no_work_does_not_count(client: TestClient) -> None:
    location = client.post(SUBMIT, json=BODY).headers["location"]

    others = [
        client.get(location),
        client.get("/api/v1/images/jobs"),
        client.delete(location),
        client.post(SUBMIT, json={"prompt": ""}),
        client.post(SUBMIT, json=BODY | {"width": 2048, "height": 2048}),
    ]

    assert [other.status_code for other in others] == [200, 200, 200, 422, 422]
    assert not any(FIELDS & set(other.headers) for other in others)
    assert submit(client) == (202, '"default";r=0;t=3600')


def test_an_answer_that_is_given_again_does_not_count_even_when_nothing_is_left(
    client: TestClient,
) -> None:
    once = {"idempotency-key": "once"}
    first = client.post(SUBMIT, json=BODY, headers=once)
    submit(client)

    again = client.post(SUBMIT, json=BODY, headers=once)

    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert submit(client)[0] == 429


def test_a_key_without_a_limit_is_told_none(client: TestClient) -> None:
    answers = [client.post(SUBMIT, json=BODY, headers={"x-api-key": KEY}) for _ in range(5)]

    assert {answer.status_code for answer in answers} == {202}
    assert not any(FIELDS & set(answer.headers) for answer in answers)


def test_the_next_is_behind_what_was_admitted_and_not_twice_behind_it() -> None:
    parts = Parts()
    with parts.client() as client:
        client.headers["x-api-key"] = KEY
        submit(client, **{"idempotency-key": "one"})
        submit(client, **{"idempotency-key": "one"})
        submit(client)

    assert parts.estimates.counted == list(parts.jobs.stored)
    assert len(parts.jobs.stored) == 2
