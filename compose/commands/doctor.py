"""What this machine and this home have, one check a line, and what to do where one fails."""

import asyncio

import typer

from compose.checks import Check
from compose.checks.machine import machine, ports
from compose.checks.servers import processes, servers
from compose.console import Json, err, out, print_json
from compose.embedded import status
from compose.running import home, running_settings
from schemas.common import Value
from services.settings import Settings


class Diagnosis(Value):
    ok: bool
    checks: tuple[Check, ...]


def doctor(json: Json = False) -> None:
    """Check Python, Java, mongod, ports, disk, models, every process and every server."""
    with err.status("checking"):
        checks = tuple(_checks())
    diagnosis = Diagnosis(ok=all(check.ok for check in checks), checks=checks)
    if json:
        print_json(diagnosis)
    else:
        for check in checks:
            mark = "[green]ok  [/]" if check.ok else "[bold red]FAIL[/]"
            out.print(f"{mark} {check.name:<14} {check.detail}")
    if not diagnosis.ok:
        raise typer.Exit(1)


def _checks() -> list[Check]:
    settings = running_settings()
    found = list(machine(Settings(), settings))
    written = status.read(home()) if status.is_running(home()) else None
    if written is None:
        idle = Check(name="processes", ok=True, detail="nothing runs; `./darkroom up` starts it")
        return [*found, ports(home()), idle]
    return [*found, *processes(written), *asyncio.run(servers(settings))]
