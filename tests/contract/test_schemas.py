"""What others rely on: the exported JSON Schemas, and that none of it is taken from them."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from schemas import library_events  # noqa: F401 - its types are counted too
from schemas.cloudevents import CloudEvent
from schemas.compatibility import JsonSchema, breaks
from schemas.export import EVENT_TYPES, FOLDER, broken, json_schema, main, path_of, text_of

BASE: JsonSchema = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "minimum": 8, "maximum": 64},
        "tier": {"$ref": "#/$defs/Tier"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "jobs": {"type": "array", "items": {"$ref": "#/$defs/Job"}, "minItems": 1},
    },
    "required": ["size"],
    "$defs": {
        "Tier": {"type": "string", "enum": ["draft", "high"]},
        "Job": {
            "type": "object",
            "properties": {
                "id": {"type": "string", "format": "uuid"},
                "after": {"$ref": "#/$defs/Job"},
            },
            "required": ["id"],
        },
    },
}


def changed(*path: str, to: Any) -> JsonSchema:
    schema = deepcopy(BASE)
    place = schema
    for step in path[:-1]:
        place = place[step]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return schema


@pytest.mark.parametrize("event", EVENT_TYPES, ids=lambda event: event.__name__)
def test_the_exported_schema_is_up_to_date(event: type[CloudEvent]) -> None:
    assert path_of(event).read_text() == text_of(event), "run python -m schemas.export"


def test_no_event_has_changed_incompatibly() -> None:
    assert broken() == []


def test_every_event_type_is_exported_and_no_file_is_left_over() -> None:
    assert set(EVENT_TYPES) == set(CloudEvent.__subclasses__())
    assert {path_of(event) for event in EVENT_TYPES} == set(FOLDER.glob("*.json"))


def test_a_schema_is_found_where_messages_say_that_it_is() -> None:
    for event in EVENT_TYPES:
        assert json_schema(event)["$id"] == f"/schemas/{path_of(event).name}"


@pytest.mark.parametrize(
    ("new", "found"),
    [
        (changed("properties", "note", to=None), "/note: removed"),
        (changed("properties", "size", "type", to="string"), "/size: retyped"),
        (changed("required", to=["size", "note"]), "/note: newly required"),
        (changed("properties", "note", "anyOf", to=[{"type": "string"}]), "/note: retyped"),
        (
            changed("properties", "note", "anyOf", to=[{"type": "integer"}, {"type": "null"}]),
            "/note: retyped",
        ),
        (changed("$defs", "Tier", "enum", to=["draft"]), "/tier: lost the values ['high']"),
        (changed("$defs", "Job", "properties", "id", to=None), "/jobs/*/id: removed"),
        (changed("$defs", "Job", "properties", "id", "format", to="date"), "/jobs/*/id: format"),
        (changed("$defs", "Job", "required", to=["id", "after"]), "/jobs/*/after: newly required"),
        (changed("properties", "size", "maximum", to=32), "/size: maximum is now 32"),
        (changed("properties", "size", "minimum", to=9), "/size: minimum is now 9"),
        (changed("properties", "jobs", "maxItems", to=9), "/jobs: maxItems is now 9"),
        (changed("properties", "size", "const", to=9), "/size: const is now 9"),
    ],
)
def test_what_breaks_others_is_found(new: JsonSchema, found: str) -> None:
    (only,) = breaks(BASE, new)

    assert only.startswith(found)


@pytest.mark.parametrize(
    "new",
    [
        BASE,
        changed("properties", "more", to={"type": "string"}),
        changed("required", to=[]),
        changed("$defs", "Tier", "enum", to=["draft", "high", "ultra"]),
        changed("properties", "size", "maximum", to=128),
        changed("properties", "size", "minimum", to=None),
        changed("properties", "size", "description", to="in pixels"),
    ],
)
def test_what_only_adds_or_widens_is_allowed(new: JsonSchema) -> None:
    assert breaks(BASE, new) == []


def test_the_export_overwrites_nothing_that_it_would_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schemas.export.FOLDER", tmp_path)
    schema = json_schema(EVENT_TYPES[0])
    schema["properties"]["once"] = {"type": "string"}
    path_of(EVENT_TYPES[0]).write_text(json.dumps(schema))

    with pytest.raises(SystemExit, match="/once: removed"):
        main()
    assert [path.read_text() for path in tmp_path.iterdir()] == [json.dumps(schema)]
