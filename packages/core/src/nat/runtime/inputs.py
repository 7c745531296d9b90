"""Inputs: a file with one input of the workflow per line."""

import json
from pathlib import Path
from typing import Any

from nat.data_models.errors import ConfigurationError, Problem

__all__ = ["read_inputs"]


def read_inputs(file: Path) -> list[Any]:
    """Return the JSON value of each line of a JSON Lines file, in order; empty lines do not count.

    Raises:
        ConfigurationError: The file cannot be read, or lines are not JSON; all of them are named.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ConfigurationError(Problem(f"cannot be read: {error.strerror}", file=file)) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigurationError(Problem("is not UTF-8, expected JSON Lines in UTF-8", file=file, line=line)) from None
    values: list[Any] = []
    problems: list[Problem] = []
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            values.append(json.loads(text))
        except ValueError as error:
            problems.append(_problem(file, number, error))
    if problems:
        raise ConfigurationError(*problems)
    return values


def _problem(file: Path, number: int, error: ValueError) -> Problem:
    said, column = (error.msg, error.colno) if isinstance(error, json.JSONDecodeError) else (str(error), None)
    message = f'is not JSON: {said}; expected one JSON value a line, a text in quotes: "What is a trace?"'
    return Problem(message, file=file, line=number, column=column)
