"""`darkroom keys`: API keys made, listed, rotated and revoked, in MongoDB itself."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Final, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError

from compose.console import Json, out, print_json
from compose.errors import CommandFailed, UsageFailed
from compose.running import running_settings
from schemas.common import ProjectId, Time, Value
from schemas.keys import DEFAULT_LIMIT, LONGEST_LIFE, Key, Limit, Scope
from services.accounts import Keys
from services.errors import DarkroomError
from services.issuance import CreatedKey
from services.mongo import OUTAGES, open_mongo
from services.signing import Signer

T = TypeVar("T")

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}

app = typer.Typer(help="Make, list, rotate and revoke API keys.", no_args_is_help=True)


class KeyRow(Value):
    """A key as a list shows it: no secret, no hash."""

    id: str
    project: str
    name: str
    scopes: tuple[str, ...]
    limit: str | None
    prefix: str
    created_at: Time
    last_used_at: Time | None
    expires_at: Time | None
    revoked_at: Time | None


@app.command("create")
def create(  # noqa: PLR0913, PLR0917 - a command's options
    project: Annotated[str, typer.Option(help="Whose jobs and pictures the key reaches.")],
    limit: Annotated[str, typer.Option(help="N/second|minute|hour|day, or none.")] = DEFAULT_LIMIT,
    scopes: Annotated[str, typer.Option(help="full, or of read and live.")] = "full",
    expires: Annotated[str | None, typer.Option(help="In 90s, 15m, 12h or 30d.")] = None,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    json: Json = False,
) -> None:
    """Make a key and show it, once."""
    owner = _checked(TypeAdapter(ProjectId), project, "--project")
    allowed = _checked(TypeAdapter(tuple[Scope, ...]), tuple(scopes.split(",")), "--scopes")
    rate = None if limit == "none" else _checked(TypeAdapter(Limit), limit, "--limit")
    lifetime = None if expires is None else duration(expires, "--expires")
    key = _with_keys(
        lambda keys: keys.create(owner, name, limit=rate, scopes=allowed, expires_in=lifetime)
    )
    _print_created(key, json)


@app.command("ls")
def ls(
    project: Annotated[str | None, typer.Option(help="Only this one's.")] = None,
    json: Json = False,
) -> None:
    """List keys, newest first."""
    for key in _with_keys(lambda keys: keys.ls(project)):
        _print_row(_row(key), json)


@app.command("revoke")
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID")], json: Json = False) -> None:
    """Stop a key at once, on every replica."""
    _print_row(_row(_with_keys(lambda keys: keys.revoke(key_id))), json)


@app.command("rotate")
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID")],
    overlap: Annotated[
        str | None, typer.Option(help="The old one still works for 90s, 15m, 12h or 7d.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a key like this one, shown once; the old one stops, or later."""
    time = timedelta() if overlap is None else duration(overlap, "--overlap")
    _print_created(_with_keys(lambda keys: keys.rotate(key_id, overlap=time)), json)


def duration(text: str, option: str) -> timedelta:
    """ "90s", "15m", "12h", "30d", or a number of seconds; at most `LONGEST_LIFE`."""
    matched = re.fullmatch(r"([1-9][0-9]{0,9})([smhd]?)", text)
    seconds = int(matched[1]) * UNITS[matched[2] or "s"] if matched else 0
    if not 0 < seconds <= LONGEST_LIFE:
        raise UsageFailed(
            f"{option} {text!r} is not a duration of up to 100 years", "write 90s, 15m, 12h or 30d"
        )
    return timedelta(seconds=seconds)


def _checked(adapter: TypeAdapter[T], given: object, option: str) -> T:
    try:
        return adapter.validate_python(given)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise UsageFailed(
            f"{option} is not valid: {reason}", "see `darkroom keys create --help`"
        ) from error


def _with_keys(work: Callable[[Keys], Awaitable[T]]) -> T:
    return asyncio.run(_run(work))


async def _run(work: Callable[[Keys], Awaitable[T]]) -> T:
    settings = running_settings()
    secret = settings.master_secret.get_secret_value()
    if not secret:
        raise CommandFailed(f"nothing was started in {settings.home} yet", "run `./darkroom up`")
    try:
        async with open_mongo(settings.mongo) as mongo:
            return await work(Keys(mongo, Signer(secret)))
    except OUTAGES as error:
        raise CommandFailed("MongoDB does not answer", "run `./darkroom up`") from error
    except DarkroomError as error:
        raise CommandFailed(error.message, "run `./darkroom keys ls`") from error


def _print_created(key: CreatedKey, json: bool) -> None:
    if json:
        print_json(key)
        return
    out.print(key.key, style="bold")
    out.print(f"project {key.project}, limit {key.limit or 'none'}; not shown again")
    out.print(f"signing key id {key.signing_key_id}")
    out.print(f"signing secret {key.signing_secret}")


def _row(key: Key) -> KeyRow:
    return KeyRow(**key.model_dump(), prefix=key.prefix)


def _print_row(row: KeyRow, json: bool) -> None:
    if json:
        print_json(row)
        return
    state = "revoked" if row.revoked_at else f"expires {row.expires_at or 'never'}"
    out.print(
        f"{row.prefix}  {row.project}  {','.join(row.scopes)}  {row.limit or 'no limit'}  {state}"
        f"  {row.name}",
    )
