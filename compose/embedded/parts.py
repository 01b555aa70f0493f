"""What the supervisor keeps running: one protocol, whether Kafka or a worker of ours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from pydantic import Field

from schemas.common import Value


class Command(Value):
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = Field(default_factory=dict)  #: added to our own
    folder: Path  #: where it runs


class Part(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def stop_seconds(self) -> float:
        """What SIGTERM leaves it before SIGKILL."""

    @property
    def command(self) -> Command: ...

    def prepare(self) -> None:
        """Before each start: files, first-time formats, what a kill may have left. May block."""

    def after_stop(self) -> None:
        """Once, when it has been stopped for good."""

    async def ready(self) -> bool:
        """One probe; OSError counts as no. Finishes what can only be done while it runs."""
