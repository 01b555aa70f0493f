"""A stack that has just started in -> its first picture, or why there won't be one."""

from pathlib import Path
from time import monotonic

from compose.client import Client
from compose.commands.pictures import make
from compose.embedded import status as board
from compose.embedded.children import tail
from compose.embedded.state import FirstKey
from compose.errors import CommandFailed
from compose.running import check_runs
from schemas.jobs import Tier
from schemas.wire.blog import GenerationBody

FILE = "first-picture.png"
PROMPT = "the sun and a red boat on the sea at sunset"
DEATHS = 3  #: of one process while the picture is waited for


def first_picture(url: str, key: FirstKey, home: Path) -> tuple[Path, float]:
    """The file, and the seconds it took."""
    began = monotonic()
    body = GenerationBody(prompt=PROMPT, quality=Tier.STANDARD)
    with Client.open(url, key.key, Deaths(home).check) as client:
        _, files = make(client, body, home / FILE)
    return files[0], monotonic() - began


class Deaths:
    """Counts how often each process has died since this was made."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._before = self._restarts()

    def check(self) -> None:
        """Raise when nothing runs any more, or one of them dies again and again."""
        check_runs()
        for name, restarts in self._restarts().items():
            deaths = restarts - self._before.get(name, 0)
            if deaths >= DEATHS:
                said = tail(self._home / "logs" / f"{name}.log")
                raise CommandFailed(
                    f"{name} has died {deaths} times before the first picture was there:\n{said}",
                    f"mend what its log says (`./darkroom logs {name}`), then `./darkroom up`",
                )

    def _restarts(self) -> dict[str, int]:
        written = board.read(self._home)
        return {process.name: process.restarts for process in written.processes} if written else {}
