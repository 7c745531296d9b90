"""Problems with a configuration, each with the place it is at."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ConfigurationError", "Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, what was expected, what to do.

    Attributes:
        message: What is wrong, what was expected; what to do. Never a secret.
        path: Where in the configuration, as `general.telemetry.tracing.prod.endpoint`.
        file, line, column: Where in which file; lines and columns count from 1.
        details: Longer text below the message, such as the user's own traceback.
    """

    message: str
    path: str | None = None
    file: Path | None = None
    line: int | None = None
    column: int | None = None
    details: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        head = ": ".join(part for part in (place, self.path, self.message) if part)
        return head if self.details is None else f"{head}\n{self.details}"


class ConfigurationError(Exception):
    """The configuration cannot be used; `problems` holds everything that was found, at least one."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
