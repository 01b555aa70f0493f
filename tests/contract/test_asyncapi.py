"""The AsyncAPI document: every topic, every event type once, and nothing that leads nowhere."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from starlette.testclient import TestClient

from api.documents.asyncapi import CHANNELS, document
from schemas.cloudevents import CONTENT_TYPE
from schemas.events import GenerationRequested, RequestedData
from schemas.export import EVENT_TYPES
from schemas.jobs import RequestedJob
from schemas.topics import TOPICS
from tests.unit.api_fakes import Parts


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document()


def references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(references, part.values()))
    return set[str]().union(*map(references, part)) if isinstance(part, list) else set()


def test_every_topic_and_every_event_type_is_there_once(described: dict[str, Any]) -> None:
    messages = [message for channel in CHANNELS for message in channel.messages]

    assert tuple(channel.topic for channel in CHANNELS) == TOPICS
    assert len(messages) == len(set(messages))
    assert set(messages) == set(EVENT_TYPES)
    assert [channel["address"] for channel in described["channels"].values()] == [
        topic.name for topic in TOPICS
    ]


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    found = references(described)

    assert len(found) > len(EVENT_TYPES)
    for reference in found:
        place: Any = described
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_a_message_as_it_travels_satisfies_its_payload(described: dict[str, Any]) -> None:
    event = GenerationRequested(
        id="1",
        source="/tests",
        projectid="demo",
        data=RequestedData(jobs=(RequestedJob(prompt="a red circle"),)),
    )
    payload = described["components"]["messages"]["GenerationRequested"]["payload"]
    validator = Draft202012Validator(payload | {"components": described["components"]})

    assert described["defaultContentType"] == CONTENT_TYPE
    assert list(validator.iter_errors(event.model_dump(mode="json"))) == []
    assert list(validator.iter_errors(event.model_dump(mode="json") | {"data": {}}))


def test_where_others_may_publish_the_signature_is_required(described: dict[str, Any]) -> None:
    signed = {
        name
        for name, message in described["components"]["messages"].items()
        if "darkroom-signature" in message.get("headers", {}).get("required", ())
    }
    received = {
        name.removeprefix("receive_")
        for name, operation in described["operations"].items()
        if operation["action"] == "receive"
    }

    assert signed == {"GenerationRequested", "GenerationCancelRequested", "RecipePublished"}
    assert received == {"generation_commands", "recipes_events"}


def test_it_is_served_and_its_page_shows_every_type() -> None:
    with Parts().client() as client:
        served = client.get("/asyncapi.json")
        page = client.get("/docs/events").text
        schema_files = [
            _answers(client, event.model_fields["type"].default) for event in EVENT_TYPES
        ]

    assert served.json() == document()
    assert all(event.model_fields["type"].default in page for event in EVENT_TYPES)
    assert all(schema_files)


def _answers(client: TestClient, kind: str) -> bool:
    url = f"/schemas/{kind.removeprefix('dev.darkroom.')}.json"
    return client.get(url).status_code == 200
