"""The envelope of every message: CloudEvents 1.0, structured JSON mode.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from typing import Annotated, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import Field

from schemas.common import ProjectId, Text, Time, Value, now

CONTENT_TYPE = "application/cloudevents+json"
TYPE_PREFIX = "dev.darkroom."
NAMESPACE = uuid5(NAMESPACE_URL, "https://darkroom.dev/events")


class CloudEvent(Value):
    """The attributes that all events have; names are the specification's, not ours."""

    specversion: Literal["1.0"] = "1.0"
    id: Annotated[Text, Field(min_length=1, max_length=200)]
    source: Annotated[Text, Field(min_length=1, max_length=200)]
    type: str
    subject: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    time: Time = Field(default_factory=now)
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str | None = None
    projectid: ProjectId  #: extension: the tenant
    traceparent: str | None = None  #: extension: W3C trace context

    def encode(self) -> bytes:
        """The exact bytes that travel; equal events give equal bytes."""
        return self.model_dump_json(exclude_none=True).encode()


def schema_path(event_type: str) -> str:
    """Where the JSON Schema of `event_type` is served and kept."""
    return f"/schemas/{event_type.removeprefix(TYPE_PREFIX)}.json"


def event_id(run: UUID, event_type: str, attempt: int | None = None) -> str:
    """Deterministic, so that a repeated publication is recognised as the same event."""
    name = event_type if attempt is None else f"{event_type}#{attempt}"
    return str(uuid5(run, name))


def second_door_job(project: str, source: str, identifier: str, index: int = 0) -> UUID:
    """The job id of a command that another service produced: nobody can touch another's job."""
    return uuid5(NAMESPACE, "\n".join((project, source, identifier, str(index))))
