"""The topics in flow order, with the settings that the migration gives them."""

from datetime import timedelta

from schemas.common import Value


class Topic(Value):
    name: str
    partitions: int
    retention: timedelta | None  #: None: for ever
    durable: bool = False  #: flushed before it is acknowledged when there is one broker
    max_message_bytes: int = 1024 * 1024

    def config(self, brokers: int) -> dict[str, str]:
        """Kafka's own topic settings on a cluster of `brokers`."""
        kept = -1 if self.retention is None else int(self.retention.total_seconds() * 1000)
        config = {
            "cleanup.policy": "delete",
            "retention.ms": str(kept),
            "retention.bytes": "-1",
            "max.message.bytes": str(self.max_message_bytes),
        }
        if brokers >= 3:
            config["min.insync.replicas"] = "2"
        elif self.durable:
            # p50 0.46 -> 0.76 ms, and a power cut of the only broker loses nothing
            config["flush.messages"] = "1"
        return config


#: A batch of 100 drafts with their finals, whose prompts are as long as a request may make them.
COMMAND_BYTES = 4 * 1024 * 1024


def replication(brokers: int) -> int:
    return 3 if brokers >= 3 else 1


GENERATION_COMMANDS = Topic(
    name="generation.commands",
    partitions=12,
    retention=timedelta(days=30),
    durable=True,
    max_message_bytes=COMMAND_BYTES,
)
GENERATION_EVENTS = Topic(name="generation.events", partitions=12, retention=None, durable=True)
GENERATION_PROGRESS = Topic(name="generation.progress", partitions=12, retention=timedelta(days=1))
LIBRARY_EVENTS = Topic(name="library.events", partitions=6, retention=None)
RECIPES_EVENTS = Topic(name="recipes.events", partitions=3, retention=None)
DEAD_LETTERS = Topic(
    name="dead-letters",
    partitions=3,
    retention=timedelta(days=30),
    max_message_bytes=COMMAND_BYTES // 2 * 3,  # in base64 with its line ends, and the story
)

TOPICS = (
    GENERATION_COMMANDS,
    GENERATION_EVENTS,
    GENERATION_PROGRESS,
    LIBRARY_EVENTS,
    RECIPES_EVENTS,
    DEAD_LETTERS,
)
