"""`darkroom tokens`: who asks with a JWT, and the service that asks for its users."""

from datetime import timedelta
from typing import Annotated

import typer

from compose.commands.keys import duration
from compose.console import Json, out, print_json
from compose.errors import CommandFailed, UsageFailed
from compose.running import running_settings
from schemas.common import Value
from services.errors import InvalidRequest
from services.signing import Signer
from services.tokens import Tokens

app = typer.Typer(help="Make users' tokens, show the service's.", no_args_is_help=True)


class TokenReply(Value):
    token: str


@app.command("create")
def create(
    user: Annotated[str, typer.Option(help="Whose jobs it reaches: the token's `sub`.")],
    project: Annotated[str | None, typer.Option(help="Of which project; default: the own.")] = None,
    expires: Annotated[str, typer.Option(help="In 90s, 15m, 12h or 30d.")] = "1h",
    json: Json = False,
) -> None:
    """Make a user's token. None is stored: it works until it ends."""
    life: timedelta = duration(expires, "--expires")
    try:
        token = _tokens().issue(user, project, life)
    except InvalidRequest as error:
        raise UsageFailed(error.message, "see `darkroom tokens create --help`") from error
    _show(token, json)


@app.command("service")
def service(json: Json = False) -> None:
    """Show the token of a service that asks for its users."""
    _show(_tokens().service, json)


def _tokens() -> Tokens:
    settings = running_settings()
    secret = settings.master_secret.get_secret_value()
    if not secret:
        raise CommandFailed(f"nothing was started in {settings.home} yet", "run `./darkroom up`")
    return Tokens(settings, Signer(secret))


def _show(token: str, json: bool) -> None:
    if json:
        print_json(TokenReply(token=token))
    else:
        out.print(token)
