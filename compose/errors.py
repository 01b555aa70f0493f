"""What a command can't do and what to do about it; the command line turns these into exit codes."""


class CommandFailed(Exception):
    """Something failed; `hint` says what to do next. Exit code 1."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageFailed(CommandFailed):
    """The command or a setting makes no sense as given. Exit code 2."""
