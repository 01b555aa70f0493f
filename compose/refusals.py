"""What pydantic or the system refused -> which variable, option or file it was, and what to do."""

from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from compose.errors import CommandFailed, UsageFailed

VARIABLES: Final = ("Settings", "EmbeddedOptions")  #: what is read from the environment
#: Options whose field has another name; the others are called as they are.
OPTIONS: Final = {"quality": "tier", "width": "size", "height": "size", "num_images": "number"}
REQUESTS: Final = ("GenerationBody", "JobQuery")  #: what is made of options


def invalid(error: ValidationError) -> CommandFailed:
    """Every field that is wrong, one a line, without pydantic's own words around them."""
    told = "\n".join(dict.fromkeys(_told(error.title, detail) for detail in error.errors()))
    if error.title in VARIABLES:
        return UsageFailed(told, "set it otherwise or unset it; the README has a table of them")
    if error.title in REQUESTS:
        return UsageFailed(told, "`./darkroom COMMAND --help` says what each option takes")
    return CommandFailed(f"{error.title} can't be read: {told}", "run `./darkroom doctor`")


def unreadable(error: SettingsError) -> UsageFailed:
    """pydantic-settings names the section only."""
    words = str(error).split('"')
    section = words[1].upper() if len(words) > 1 else "…"
    return UsageFailed(
        f"DARKROOM_{section} or one of DARKROOM_{section}__…: not the JSON that it must be",
        "write a list like '[\"https://a.example\"]', and a section by its single variables",
    )


def refused(error: OSError) -> CommandFailed:
    hint = "set DARKROOM_HOME, or the option that named it, to a place that you may write to"
    return CommandFailed(f"{error.filename}: {error.strerror}", hint)


def _told(title: str, detail: ErrorDetails) -> str:
    path = [str(part) for part in detail["loc"]]
    message = detail["msg"].removeprefix("Value error, ")
    if title in VARIABLES:
        return f"DARKROOM_{'__'.join(path).upper()}: {message}"
    if title in REQUESTS and path:
        name = OPTIONS.get(path[0], path[0]).replace("_", "-")
        return f"{'the prompt' if name == 'prompt' else f'--{name}'}: {message}"
    return f"{'.'.join(path)}: {message}" if path else message
