"""Interpolation: environment variables in a workflow file, inserted once, after the YAML is parsed.

`${NAME}` takes the variable, `${NAME:-default}` gives a default for one that is unset or empty, and a bare `$NAME`
stays as it is. What is inserted is always text: configuration classes turn it into the number or flag they ask for,
and it can neither break the YAML nor be interpolated again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Interpolation", "Path", "interpolate"]

Path = tuple[str | int, ...]

_REFERENCE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_MALFORMED = re.compile(r"\$\{[^}]*\}?")


@dataclass(slots=True)
class Interpolation:
    """What came of it.

    Attributes:
        value: The data with variables inserted.
        empty: For each place that refers to variables which gave nothing, their names; unset or empty.
        unset: The same for variables that are not set at all.
        malformed: Places with a text in braces that is no reference to a variable, and that text.
    """

    value: Any = None
    empty: dict[Path, list[str]] = field(default_factory=dict)
    unset: dict[Path, list[str]] = field(default_factory=dict)
    malformed: dict[Path, str] = field(default_factory=dict)


def interpolate(data: Any, environment: Mapping[str, str]) -> Interpolation:
    """Return the data with every `${NAME}` in its texts replaced; keys stay as they are."""
    result = Interpolation()
    result.value = _insert(data, (), environment, result)
    return result


def _insert(value: Any, path: Path, environment: Mapping[str, str], result: Interpolation) -> Any:
    if isinstance(value, dict):
        return {key: _insert(item, (*path, key), environment, result) for key, item in value.items()}
    if isinstance(value, list):
        return [_insert(item, (*path, index), environment, result) for index, item in enumerate(value)]
    if isinstance(value, str) and "${" in value:
        return _insert_text(value, path, environment, result)
    return value


def _insert_text(text: str, path: Path, environment: Mapping[str, str], result: Interpolation) -> str:
    malformed = _MALFORMED.search(_REFERENCE.sub("", text))
    if malformed is not None:
        result.malformed[path] = malformed.group()

    def value_of(reference: re.Match[str]) -> str:
        name, default = reference["name"], reference["default"]
        found = environment.get(name)
        if found or default is not None:
            return found or default
        result.empty.setdefault(path, []).append(name)
        if found is None:
            result.unset.setdefault(path, []).append(name)
        return ""

    return _REFERENCE.sub(value_of, text)
