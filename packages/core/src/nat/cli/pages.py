"""Pages of the documentation that say more about what a command tells."""

import re
from collections.abc import Iterable

from nat.data_models.errors import Problem

__all__ = ["DOCUMENTATION", "LOSSES", "NOT_DELIVERED", "see", "see_about"]

DOCUMENTATION = "docs/"
"""Where the pages are: the folder of the repository, and an address once they have one."""

LOSSES = "explain/delivery.md"
NOT_DELIVERED = "guide/traces-do-not-arrive.md"

_ENTRY = r"general\.telemetry(\.tracing\.[^.]+)?"
_BY_PATH = (
    (rf"{_ENTRY}\._type", "backends/index.md"),
    (rf"{_ENTRY}\.delivery\b.*", "reference/configuration.md#delivery"),
    (rf"{_ENTRY}\.redact\b.*", "guide/privacy.md"),
    (rf"{_ENTRY}\.(when|sample)\b.*", "guide/sampling.md"),
    (rf"{_ENTRY}\.conventions\b.*", "guide/conventions.md"),
    (rf"{_ENTRY}\.processors\b.*", "reference/settings.md#processors"),
    (r"general\.telemetry\.tracing\..+", "reference/settings.md"),
    (r"llms|functions|embedders|retrievers|general\.telemetry\.logging|workflow\._type", "guide/from-nvidia.md"),
    (r"(workflow|plugins|general)\b.*", "reference/configuration.md"),
)
"""What a path in a workflow file is, and the page about it; the first that fits."""


def see(*pages: str) -> str:
    """Where to read on."""
    return f"see {', '.join(f'{DOCUMENTATION}{page}' for page in dict.fromkeys(pages))}"


def see_about(problems: Iterable[Problem]) -> list[str]:
    """A line that names the pages about what is wrong; none if there are no such pages."""
    pages = [page for problem in problems if (page := _page_about(problem.path or ""))]
    return [see(*pages)] if pages else []


def _page_about(path: str) -> str | None:
    return next((page for pattern, page in _BY_PATH if re.fullmatch(pattern, path)), None)
