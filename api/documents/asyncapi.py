"""Topics and event models in -> an AsyncAPI 3 document out. Pure.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from collections.abc import Iterator
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from schemas import events, library_events, topics
from schemas.cloudevents import CONTENT_TYPE, CloudEvent, schema_path
from schemas.common import Value
from schemas.topics import Topic

VERSION: Final = "1.0.0"  #: of the messages taken together; each has its own in its type
REFERENCE: Final = "#/components/schemas/{model}"
SIGNATURE: Final = "darkroom-signature"

Json = dict[str, Any]


class Channel(Value):
    topic: Topic
    description: str
    messages: tuple[type[CloudEvent], ...]
    key: str
    others_may_send: bool = False  #: and then must sign


JOB_KEY: Final = "The job's id: all that happens to a job is in one partition, in order."
CHANNELS: Final = (
    Channel(
        topic=topics.GENERATION_COMMANDS,
        description="What someone wants. The second door: any service may publish here.",
        messages=(events.GenerationRequested, events.GenerationCancelRequested),
        key="The first job's id; of another service, whatever orders its commands.",
        others_may_send=True,
    ),
    Channel(
        topic=topics.GENERATION_EVENTS,
        description="What has happened: from `accepted` or `rejected` to one end.",
        messages=(
            events.GenerationAccepted,
            events.GenerationRejected,
            events.GenerationStarted,
            events.GenerationCompleted,
            events.GenerationFailed,
            events.GenerationCancelled,
        ),
        key=JOB_KEY,
    ),
    Channel(
        topic=topics.GENERATION_PROGRESS,
        description="How far runs are; coalesced, and never what counts.",
        messages=(events.GenerationProgress,),
        key=JOB_KEY,
    ),
    Channel(
        topic=topics.LIBRARY_EVENTS,
        description="Uploads, marks, aliases, flows, presets and keys (no secrets).",
        messages=library_events.LIBRARY_EVENTS,
        key="The project's id.",
    ),
    Channel(
        topic=topics.RECIPES_EVENTS,
        description="Recipes that another service has published; their steps are learned here.",
        messages=(events.RecipePublished,),
        key="The recipe's id.",
        others_may_send=True,
    ),
    Channel(
        topic=topics.DEAD_LETTERS,
        description="What could not be read or trusted, with its bytes and the reason.",
        messages=(events.DeadLetter,),
        key="Where it came from.",
    ),
)


def document() -> Json:
    models = [message for channel in CHANNELS for message in channel.messages]
    _, schemas = models_json_schema([(m, "validation") for m in models], ref_template=REFERENCE)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Darkroom",
            "version": VERSION,
            "description": "CloudEvents 1.0 in structured JSON mode over Kafka.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "kafka": {
                "host": "{brokers}",
                "protocol": "kafka",
                "variables": {"brokers": {"default": "127.0.0.1:9092"}},
            }
        },
        "channels": {_id(channel): _channel(channel) for channel in CHANNELS},
        "operations": {name: op for channel in CHANNELS for name, op in _operations(channel)},
        "components": {
            "messages": {model.__name__: _message(model) for model in models},
            "schemas": schemas["$defs"],
        },
    }


def _channel(channel: Channel) -> Json:
    topic = channel.topic
    return {
        "address": topic.name,
        "description": channel.description,
        "messages": {
            model.__name__: {"$ref": f"#/components/messages/{model.__name__}"}
            for model in channel.messages
        },
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": int(topic.config(1)["retention.ms"]),
                    "max.message.bytes": topic.max_message_bytes,
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operations(channel: Channel) -> Iterator[tuple[str, Json]]:
    """As AsyncAPI 3 has it, from our side: `send` is what we publish."""
    reference = {"$ref": f"#/channels/{_id(channel)}"}
    if channel.topic is not topics.RECIPES_EVENTS:
        summary = f"Darkroom publishes on {channel.topic.name}."
        yield f"send_{_id(channel)}", {"action": "send", "channel": reference, "summary": summary}
    if channel.others_may_send:
        summary = "Another service publishes, signed; Darkroom reads."
        described = {"action": "receive", "channel": reference, "summary": summary}
        yield f"receive_{_id(channel)}", described


def _message(model: type[CloudEvent]) -> Json:
    (channel,) = [channel for channel in CHANNELS if model in channel.messages]
    kind: str = model.model_fields["type"].default
    key = {"type": "string", "description": channel.key}
    message: Json = {
        "name": kind,
        "title": model.__name__,
        "contentType": CONTENT_TYPE,
        "payload": {"$ref": REFERENCE.format(model=model.__name__)},
        "bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}},
        "externalDocs": {"url": schema_path(kind), "description": "This type's JSON Schema."},
    }
    if channel.others_may_send:
        message["headers"] = _signed()
    return message


def _signed() -> Json:
    description = (
        "`<signing key id>:<base64 of HMAC-SHA256 over the message's bytes>`; the HMAC's key is "
        "the signing secret that `darkroom keys create` printed, in UTF-8."
    )
    pattern = r"^[A-Za-z0-9]+:[A-Za-z0-9+/]{43}=$"
    signature = {"type": "string", "description": description, "pattern": pattern}
    return {"type": "object", "required": [SIGNATURE], "properties": {SIGNATURE: signature}}


def _id(channel: Channel) -> str:
    return channel.topic.name.replace(".", "_").replace("-", "_")
