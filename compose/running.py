"""A home in -> how to reach the stack that it has: settings, URL, key."""

from pathlib import Path

from compose.embedded import state as states
from compose.embedded.state import State
from compose.embedded.status import is_running
from compose.embedded.wiring import wire
from compose.errors import CommandFailed
from services.settings import Settings


def home() -> Path:
    return Settings().home.absolute()


def running_settings() -> Settings:
    """The settings of this home's processes; what the environment names wins."""
    settings = Settings()
    state = states.load(settings.home.absolute())
    return settings if state is None or not state.ports else wire(settings, state)


def check_runs() -> None:
    if not is_running(home()):
        raise CommandFailed(f"nothing runs in {home()}", "run `./darkroom up`")


def known_state() -> State:
    state = states.load(home())
    if state is None:
        raise CommandFailed(f"nothing was started in {home()} yet", "run `./darkroom up`")
    return state
