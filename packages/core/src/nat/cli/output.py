"""Lines for the user while a workflow runs.

They go through what `sys.stdout` and `sys.stderr` are at the moment, which `click.echo` looks behind: a live region on
terminal has to know of every line.
"""

import sys

import click

__all__ = ["label_of_error", "print_result", "say"]


def print_result(text: str) -> None:
    """Print to stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Print to stderr, if there is one."""
    if sys.stderr is not None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def label_of_error() -> str:
    """What stands in front of an error, red on a terminal."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return click.style("Error:", fg="red", bold=True) if is_terminal else "Error:"
