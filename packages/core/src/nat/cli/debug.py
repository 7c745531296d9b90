"""`--debug`, and where the log of `nat` goes while its command runs."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import click

from nat.cli.output import say

__all__ = ["debug_option", "is_debug", "log_warnings_to_stderr", "print_traceback_if_debug"]

_DEBUG = "nat.cli.debug"

F = TypeVar("F", bound=Callable[..., Any])


class _StderrHandler(logging.Handler):
    """Writes to what is `sys.stderr` at the moment; steps back once the workflow's own code configures logging."""

    def emit(self, record: logging.LogRecord) -> None:
        if logging.getLogger().handlers:
            return
        try:
            say(self.format(record))
        except Exception:
            self.handleError(record)


def log_warnings_to_stderr() -> None:
    """Show warnings of `nat` in one line each."""
    logger = logging.getLogger("nat")
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        handler = _StderrHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)


def _enable(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[_DEBUG] = True
        logging.getLogger("nat.observability").setLevel(logging.DEBUG)


def debug_option(command: F) -> F:
    """Add `--debug`, so that it can be written before as well as after a command's name."""
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_enable,
        help="Show tracebacks and the debug log of nat.observability on stderr.",
    )(command)


def is_debug() -> bool:
    """Whether `--debug` was given to the command that is running."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(_DEBUG))


def print_traceback_if_debug(exc: BaseException) -> None:
    """Print where `exc` comes from to stderr if `--debug` was given."""
    if is_debug():
        import traceback

        say("".join(traceback.format_exception(exc)).rstrip())
