"""Jobs from outside: list, look at, watch, cancel, retry."""

from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table

from compose.commands.access import Key, Url, client
from compose.commands.pictures import follow
from compose.console import Json, out, print_json
from schemas.wire.blog import ImageJobStatusResponse, JobList, JobQuery

app = typer.Typer(help="List, look at, watch, cancel and retry jobs.", no_args_is_help=True)

JobId = Annotated[UUID, typer.Argument(help="The job's id.")]
StatusOption = Annotated[
    str | None, typer.Option("--status", help="pending, queued, processing, completed or failed.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100, help="How many.")]
Offset = Annotated[int, typer.Option("--offset", min=0, help="After how many.")]


@app.command()
def ls(  # noqa: PLR0913, PLR0917
    status: StatusOption = None,
    limit: Limit = 20,
    offset: Offset = 0,
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """The latest jobs, newest first."""
    query = JobQuery.model_validate({"status": status, "limit": limit, "offset": offset})
    with client(url, key) as opened:
        found = opened.ls(query)
    if json:
        for job in found.jobs:
            print_json(job, sparse=True)
    else:
        _print_table(found)


@app.command()
def get(job_id: JobId, url: Url = None, key: Key = None, json: Json = False) -> None:
    """One job as it is now."""
    with client(url, key) as opened:
        _print(opened.poll(job_id), json)


@app.command()
def watch(job_id: JobId, url: Url = None, key: Key = None, json: Json = False) -> None:
    """Follow a job until it has ended."""
    with client(url, key) as opened:
        if json:
            for seen in opened.watch(job_id):
                print_json(seen, sparse=True)
        else:
            _print(follow(opened, job_id), json)


@app.command()
def cancel(job_id: JobId, url: Url = None, key: Key = None, json: Json = False) -> None:
    """Cancel a job; one that has ended stays as it is."""
    with client(url, key) as opened:
        _print(opened.cancel(job_id), json)


@app.command()
def retry(
    job_ids: Annotated[list[UUID], typer.Argument(metavar="JOB_ID...", help="The jobs' ids.")],
    seed: Annotated[int | None, typer.Option("--seed", help="Default: drawn anew.")] = None,
    url: Url = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Begin jobs that have ended once more; their pictures stay."""
    with client(url, key) as opened:
        for job_id in job_ids:
            _print(opened.retry(job_id, seed), json)


def _print(job: ImageJobStatusResponse, json: bool) -> None:
    if json:
        print_json(job, sparse=True)
        return
    typer.echo(f"{job.job_id}  {job.status}  {job.progress_percentage} %  {job.current_stage}")
    for image in job.result.images if job.result else ():
        typer.echo(f"  {image.url}  {image.width}x{image.height}  seed {image.seed}")
    if job.error_message:
        typer.echo(f"  {job.error_message}")


def _print_table(found: JobList) -> None:
    table = Table("job", "status", "percent", "created", box=None)
    for job in found.jobs:
        created = f"{job.created_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(job.job_id), job.status, str(job.progress_percentage), created)
    out.print(table)
    typer.echo(f"{len(found.jobs)} of {found.total}")
