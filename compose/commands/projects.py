"""`darkroom projects`: what each project gets of the GPUs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from compose.console import Json, out, print_json
from compose.errors import CommandFailed
from compose.running import running_settings
from schemas.common import Value
from services.engine.catalogue import Catalogue
from services.fairness import Fairness, Share
from services.mongo import OUTAGES, open_mongo

T = TypeVar("T")

app = typer.Typer(help="Say what each project gets of the GPUs.", no_args_is_help=True)


class ProjectRow(Value):
    """`weight`: twice as much of the GPUs as weight 1; `cap`: runs at once, null for any number."""

    project: str
    weight: float
    cap: int | None
    leases: int


@app.command("ls")
def ls(json: Json = False) -> None:
    """List the projects with their weights, caps and runs."""
    for row in asyncio.run(_with_fairness(_rows)):
        _show(row, json)


@app.command("set")
def set_share(
    project: Annotated[str, typer.Argument(help="The project's name.")],
    weight: Annotated[float, typer.Option(min=0.001, max=1000, help="1 is everybody's.")] = 1.0,
    cap: Annotated[
        int | None, typer.Option(min=1, help="Runs at once; default: any number.")
    ] = None,
    json: Json = False,
) -> None:
    """Give a project its weight and its cap."""

    async def save(fairness: Fairness) -> ProjectRow:
        share = await fairness.set_share(project, weight, cap)
        return _row(share, await fairness.leases(project))

    _show(asyncio.run(_with_fairness(save)), json)


async def _rows(fairness: Fairness) -> list[ProjectRow]:
    return [_row(share, await fairness.leases(share.project)) for share in await fairness.shares()]


def _row(share: Share, leases: int) -> ProjectRow:
    return ProjectRow(project=share.project, weight=share.weight, cap=share.cap, leases=leases)


def _show(row: ProjectRow, json: bool) -> None:
    if json:
        print_json(row)
        return
    cap = "any number" if row.cap is None else f"{row.cap}"
    out.print(f"{row.project}: weight {row.weight:g}, runs at once {cap}, now {row.leases}")


async def _with_fairness(work: Callable[[Fairness], Awaitable[T]]) -> T:
    settings = running_settings()
    try:
        async with open_mongo(settings.mongo) as mongo:
            return await work(Fairness(mongo, Catalogue.load(settings.engine.models)))
    except OUTAGES as error:
        raise CommandFailed("MongoDB does not answer", "run `./darkroom status`") from error
