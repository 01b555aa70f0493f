"""This home's stack -> variables for a shell: `eval "$(./darkroom env)"`."""

import shlex

import typer

from compose.console import Json, print_json
from compose.errors import CommandFailed
from compose.running import known_state, running_settings
from compose.summary import Summary, summary


def env(json: Json = False) -> None:
    """Print a client's variables: eval "$(./darkroom env)"."""
    state = known_state()
    if state.key is None:
        raise CommandFailed("this home has no key yet", "run `./darkroom up`")
    found = summary(running_settings(), state.url, state.key)
    if json:
        print_json(found)
        return
    for name, value in _variables(found).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def _variables(found: Summary) -> dict[str, str]:
    return {
        "DARKROOM_URL": found.url,
        "DARKROOM_API_KEY": found.api_key,
        "DARKROOM_PROJECT": found.project,
        "DARKROOM_SIGNING_KEY_ID": found.signing_key_id,
        "DARKROOM_SIGNING_SECRET": found.signing_secret,
        "DARKROOM_BROKERS": found.kafka,
    }
