"""What the supervisor writes for others to read: each process, its pid, its restarts."""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from compose.embedded.locks import is_held
from compose.embedded.state import write_atomically
from schemas.common import Value

FILE = "status.json"
LOCK = "supervisor.lock"  #: held by the supervisor for as long as it lives

Phase = Literal["starting", "migrating", "ready", "stopping", "stopped", "failed"]


class ProcessStatus(Value):
    name: str
    pid: int | None = None
    restarts: int = 0
    ready: bool = False

    @property
    def loads(self) -> bool:
        return self.name.startswith("generator") and self.pid is not None and not self.ready


class StackStatus(Value):
    pid: int  #: the supervisor's own
    phase: Phase
    error: str = ""
    waits: str = ""  #: what the migration last said, while it goes on
    processes: tuple[ProcessStatus, ...] = ()

    @property
    def ready(self) -> bool:
        return self.phase == "ready" and all(process.ready for process in self.processes)

    @property
    def loads(self) -> bool:
        """Only models are waited for, which may take their time."""
        late = [process for process in self.processes if not process.ready]
        return bool(late) and all(process.loads for process in late)


def is_running(home: Path) -> bool:
    return is_held(home / LOCK)


def read(home: Path) -> StackStatus | None:
    """What was last written, by a supervisor that may be gone."""
    try:
        return StackStatus.model_validate_json((home / FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write(home: Path, status: StackStatus) -> None:
    write_atomically(home / FILE, status.model_dump_json(indent=1))
