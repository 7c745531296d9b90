"""How errors leave the `nat` command: one message on stderr, and an exit code."""

from typing import IO, Any

import click

from nat.cli.output import label_of_error, say

__all__ = ["EXIT_FAILURE", "EXIT_INTERRUPTED", "EXIT_USAGE", "CommandFailed", "as_message"]

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class CommandFailed(click.ClickException):
    """A command could not do its work; the message is all that the user sees."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it for the class, and reads it from here

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message to stderr, or to `file`."""
        if file is None:
            say(f"{label_of_error()} {self.message}")
        else:
            file.write(f"Error: {self.message}\n")


def as_message(exc: Exception) -> CommandFailed:
    """What the user is told about `exc`: problems of the configuration one a line, anything else as unexpected."""
    from nat.cli.pages import see_about
    from nat.data_models.errors import ConfigurationError

    if isinstance(exc, ConfigurationError):
        return CommandFailed("\n".join([*map(str, exc.problems), *see_about(exc.problems)]), EXIT_USAGE)
    return CommandFailed(f"{type(exc).__name__}: {exc}\nThis was not expected; nat --debug shows where it comes from.")
