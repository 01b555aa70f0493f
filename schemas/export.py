"""Every event type in, one JSON Schema file each out; refuses to break what others rely on.

Run `python -m schemas.export` after a change of an event.
"""

import json
import sys
from pathlib import Path
from typing import Final

from schemas import events, library_events
from schemas.cloudevents import CloudEvent, schema_path
from schemas.compatibility import JsonSchema, breaks

FOLDER: Final = Path(__file__).parent / "json"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
EVENT_TYPES: Final[tuple[type[CloudEvent], ...]] = (
    events.GenerationRequested,
    events.GenerationCancelRequested,
    events.GenerationAccepted,
    events.GenerationRejected,
    events.GenerationStarted,
    events.GenerationProgress,
    events.GenerationCompleted,
    events.GenerationFailed,
    events.GenerationCancelled,
    events.RecipePublished,
    events.DeadLetter,
    *library_events.LIBRARY_EVENTS,
)


def json_schema(event: type[CloudEvent]) -> JsonSchema:
    """What a message of this type must satisfy; what it may have besides is ignored."""
    path = schema_path(event.model_fields["type"].default)
    described = event.model_json_schema()
    # a message without its type can't be told apart, so here the default is no way out
    described["required"] = sorted({*described["required"], "specversion", "type"})
    return {"$schema": DIALECT, "$id": path, **described}


def path_of(event: type[CloudEvent]) -> Path:
    return FOLDER / Path(schema_path(event.model_fields["type"].default)).name


def text_of(event: type[CloudEvent]) -> str:
    return json.dumps(json_schema(event), indent=2, ensure_ascii=False) + "\n"


def broken() -> list[str]:
    """What the models would break of the files that are checked in."""
    return [
        f"{path.name}{found}"
        for event in EVENT_TYPES
        if (path := path_of(event)).exists()
        for found in breaks(json.loads(path.read_text()), json_schema(event))
    ]


def main() -> None:
    if found := broken():
        sys.exit("Others rely on these; publish a new version beside it:\n" + "\n".join(found))
    FOLDER.mkdir(exist_ok=True)
    for event in EVENT_TYPES:
        path_of(event).write_text(text_of(event))


if __name__ == "__main__":
    main()
