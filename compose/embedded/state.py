"""What a home keeps between two starts: ports, generated passwords, the first key. Mode 0600."""

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex, token_urlsafe
from uuid import uuid4

from pydantic import Field, ValidationError

from compose.errors import CommandFailed
from schemas.common import Value

FILE = "state.json"


def _kafka_id() -> str:
    """Kafka's own spelling of a UUID: 22 characters, never a leading dash."""
    spelled = base64.urlsafe_b64encode(uuid4().bytes).rstrip(b"=").decode()
    return _kafka_id() if spelled.startswith("-") else spelled


class FirstKey(Value):
    """The key without a limit that `up` makes once, for the project that requests fall to."""

    key: str
    signing_key_id: str
    signing_secret: str
    project: str


class State(Value):
    brokers: int = 1
    ports: Mapping[str, int] = Field(default_factory=dict)
    url: str = ""
    cluster_id: str = Field(default_factory=_kafka_id)
    master_secret: str = Field(default_factory=lambda: token_urlsafe(32))
    mongo_password: str = Field(default_factory=lambda: token_urlsafe(24))
    s3_access_key: str = Field(default_factory=lambda: token_hex(10))
    s3_secret_key: str = Field(default_factory=lambda: token_urlsafe(30))
    key: FirstKey | None = None


def load(home: Path) -> State | None:
    path = home / FILE
    try:
        return State.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise CommandFailed(
            f"{path} can't be read: {error}", f"restore it, or remove {home} to start anew"
        ) from error


def save(home: Path, state: State) -> None:
    write_atomically(home / FILE, state.model_dump_json(indent=1))


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Whoever reads it sees the old text or the new one, after a power cut too."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
