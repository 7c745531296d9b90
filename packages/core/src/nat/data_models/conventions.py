"""Conventions: in whose names an exporter's spans are written, as a workflow file says it.

`openinference`, `gen_ai` or `both`; the last two take a version of OpenTelemetry's GenAI conventions after an `@`, and without
one mean the names of 1.37 to 1.41, which backends read today.
"""

from typing import Literal, NamedTuple, TypeAlias

__all__ = ["ALL_CONVENTIONS", "WITH_OPENINFERENCE", "ChosenConventions", "Conventions", "chosen_conventions"]

Conventions: TypeAlias = Literal[
    "openinference", "gen_ai", "gen_ai@1.41", "gen_ai@0.1.0", "both", "both@1.41", "both@0.1.0"
]
ALL_CONVENTIONS: tuple[Conventions, ...] = Conventions.__args__  # type: ignore[attr-defined]  # a Literal's choices
WITH_OPENINFERENCE: tuple[Conventions, ...] = ("openinference", "both", "both@1.41", "both@0.1.0")
"""What a backend can be sent that reads OpenInference only."""

_DEFAULT_VERSION = "1.41"


class ChosenConventions(NamedTuple):
    """What one of the choices means.

    Attributes:
        keeps_openinference: Whether attributes keep OpenInference's names.
        gen_ai: Version of the `gen_ai` names that are written; `None`: none are.
    """

    keeps_openinference: bool
    gen_ai: str | None


def chosen_conventions(choice: Conventions) -> ChosenConventions:
    """Take a choice apart."""
    family, _, version = choice.partition("@")
    if family == "openinference":
        return ChosenConventions(True, None)
    return ChosenConventions(family == "both", version or _DEFAULT_VERSION)
