"""`./darkroom …` in -> one function of `compose.commands`; exit code 0 ok, 1 failed, 2 usage."""

import logging
import sys
from importlib import import_module
from typing import NoReturn

import structlog
import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from compose.console import print_failure
from compose.errors import CommandFailed, UsageFailed
from compose.refusals import invalid, refused, unreadable

#: In the order of the help. Each names its module in `compose.commands`, which holds a function of
#: that name or a Typer `app` of several; only the wanted one is imported (together: 3 seconds).
COMMANDS = (
    "up",
    "down",
    "status",
    "doctor",
    "logs",
    "env",
    "generate",
    "jobs",
    "keys",
    "tokens",
    "projects",
    "topics",
    "events",
    "lag",
    "dead-letters",
    "rebuild",
    "bench",
    "test",
    "migrate",
)


def build(wanted: str) -> typer.Typer:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # each command explains it itself
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    app = typer.Typer(
        name="darkroom",
        help="Prompts go in, pictures come out; what happened in between is on a log.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(lambda: None)  # a single command still has its name
    for name in (wanted,) if wanted in COMMANDS else COMMANDS:
        module = import_module(f"compose.commands.{name.replace('-', '_')}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, name.replace("-", "_")))
    return app


def main() -> None:
    wanted = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    try:
        build(wanted)(prog_name="./darkroom")
    except CommandFailed as error:
        _fail(error)
    except ValidationError as error:
        _fail(invalid(error))
    except SettingsError as error:
        _fail(unreadable(error))
    except OSError as error:
        if error.filename is None:
            raise
        _fail(refused(error))


def _fail(error: CommandFailed) -> NoReturn:
    print_failure(error)
    sys.exit(2 if isinstance(error, UsageFailed) else 1)


if __name__ == "__main__":
    main()
