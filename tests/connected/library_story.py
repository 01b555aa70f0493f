"""What a library's feed tells -> the library as somebody knows it who has nothing else."""

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from schemas.topics import LIBRARY_EVENTS
from tests.connected.library_model import Model
from tests.connected.queue_parts import RememberingPublisher


@dataclass
class Story:
    flows: set[UUID] = field(default_factory=set)
    deleted_images: set[UUID] = field(default_factory=set)
    deleted_jobs: set[UUID] = field(default_factory=set)
    names: dict[tuple[UUID | None, str], tuple[UUID | None, UUID | None]] = field(
        default_factory=dict
    )

    @classmethod
    def of(cls, model: Model) -> "Story":
        return cls(
            set(model.flows),
            {each.id for each in model.pictures.values() if each.deleted},
            {each.id for each in model.jobs.values() if each.deleted},
            {name: (held.image, held.job) for name, held in model.names.items()},
        )

    def hear(self, kind: str, data: dict[str, Any]) -> None:
        ids = {name: UUID(data[name]) for name in ("flow_id", "image_id", "job_id") if name in data}
        flow, image, job = (ids.get(name) for name in ("flow_id", "image_id", "job_id"))
        match kind:
            case "flow.created":
                self.flows.add(ids["flow_id"])
            case "flow.deleted":
                self.flows.remove(ids["flow_id"])
                self.names = {name: to for name, to in self.names.items() if name[0] != flow}
            case "image.marked" if data.get("deleted_at"):
                self.deleted_images.add(ids["image_id"])
            case "image.purged":
                self.deleted_images.discard(ids["image_id"])
            case "generation.marked":
                self.deleted_jobs.add(ids["job_id"])
            case "generation.purged":
                self.deleted_jobs.discard(ids["job_id"])
            case "alias.assigned":
                self.names[flow, data["name"]] = image, job
            case "alias.removed":
                del self.names[flow, data["name"]]


def read_story(kafka: RememberingPublisher, project: str) -> Story:
    """As a reader does: what it has heard already is dropped; nothing may be missing."""
    story, heard = Story(), list[bytes]()
    for topic, key, value in kafka.sent:
        if (topic, key) != (LIBRARY_EVENTS.name, project):
            continue
        told = json.loads(value)
        sequence = told["data"]["sequence"]
        if sequence <= len(heard):
            assert heard[sequence - 1] == value, "the same bytes again"
            continue
        assert sequence == len(heard) + 1, "none is missing, none comes early"
        heard.append(value)
        story.hear(told["type"].removeprefix("dev.darkroom.").removesuffix(".v1"), told["data"])
    return story
