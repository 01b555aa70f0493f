"""A supervisor of small Python processes, run by the supervisor's tests: home and part names in."""

import asyncio
import sys
from pathlib import Path

from compose.embedded.parts import Command
from compose.embedded.supervisor import Supervisor
from compose.errors import CommandFailed

PROGRAMS = {
    "steady": "import time\nwhile True: time.sleep(60)",
    "parent": "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print(child.pid, flush=True)\ntime.sleep(600)",
    "stubborn": "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('deaf', flush=True)\nwhile True: time.sleep(60)",
    "hopeless": "raise SystemExit(7)",
}


class Small:
    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.stop_seconds = 0.5
        self.command = Command(arguments=(sys.executable, "-c", PROGRAMS[name]), folder=home)
        self._output = home / "logs" / f"{name}.log"

    def prepare(self) -> None:
        pass

    def after_stop(self) -> None:
        pass

    async def ready(self) -> bool:
        speaks = self.name in ("parent", "stubborn")
        return self.name != "hopeless" and (not speaks or self._output.stat().st_size > 0)


async def main(home: Path, names: list[str]) -> None:
    await Supervisor(home, [Small(name, home) for name in names], None, ()).run()


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
    except CommandFailed as error:
        sys.exit(str(error))
