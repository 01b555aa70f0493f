"""What this machine and this home have, one check a line, and what to do where one fails."""

import asyncio
from itertools import chain

import typer
from rich.text import Text

from compose.checks import Check
from compose.checks.machine import machine, ports, state_file
from compose.checks.servers import api, processes, servers
from compose.console import Json, err, out, print_json
from compose.embedded import status
from compose.embedded.wiring import has_own_kafka, has_own_mongod, has_own_s3
from compose.running import home, running_settings
from schemas.common import Value
from services.settings import Settings


class Diagnosis(Value):
    ok: bool
    checks: tuple[Check, ...]


def doctor(json: Json = False) -> None:
    """Check this machine, the processes and the servers."""
    with err.status("checking"):
        checks = tuple(_checks())
    diagnosis = Diagnosis(ok=all(check.ok for check in checks), checks=checks)
    if json:
        print_json(diagnosis)
    else:
        for check in checks:
            mark = Text("ok  ", "green") if check.ok else Text("FAIL", "bold red")
            out.print(mark, f"{check.name:<14} {check.detail}")
    if not diagnosis.ok:
        raise typer.Exit(1)


def _checks() -> list[Check]:
    if not (kept := state_file(home())).ok:
        return [kept]  # nothing else can be known of this home
    given, settings = Settings(), running_settings()
    found = list(machine(given, settings))
    written = status.read(home()) if status.is_running(home()) else None
    if written is not None:
        asked = asyncio.run(servers(settings)), (asyncio.run(api(settings.port)),)
        return [*found, *processes(written), *chain(*asked)]
    idle = Check(name="processes", ok=True, detail="nothing runs here; `./darkroom up` starts it")
    found += [ports(home()), idle]
    if has_own_kafka(given) or has_own_mongod(given) or has_own_s3(given):
        return found
    return [*found, *asyncio.run(servers(settings))]  # a stack that others run
