"""Masking: show configuration values to people without showing a secret."""

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.types import Secret

__all__ = ["MASK", "hide", "is_secret_name", "is_secret_type", "masked", "secret_texts"]

MASK = "**********"

_SECRET_WORDS = ("key", "token", "secret", "password", "header", "authorization", "credential")
_SHORTEST_SECRET = 4  # characters; masking shorter texts would garble messages and hides nothing
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*(?=@)")


def is_secret_name(name: str) -> bool:
    """Return whether the value of a field or key of this name is never shown."""
    folded = name.lower()
    return any(word in folded for word in _SECRET_WORDS)


def is_secret_type(annotation: Any) -> bool:
    """Return whether the annotation is one of pydantic's secret types, or holds one."""
    if isinstance(annotation, type) and issubclass(annotation, (SecretStr, SecretBytes, Secret)):
        return True
    return any(is_secret_type(part) for part in get_args(annotation))


def masked(value: Any) -> Any:
    """Return the value with everything in it that looks like a secret masked, for showing it with `repr()`."""
    if isinstance(value, str):
        return _URL_CREDENTIALS.sub(MASK, value)
    if isinstance(value, Mapping):
        return {key: MASK if is_secret_name(str(key)) else masked(item) for key, item in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(masked(item) for item in value)
    if isinstance(value, BaseModel):
        return _MaskedModel(value)
    return value


def secret_texts(data: Any, is_secret: Callable[[str], bool] = is_secret_name) -> list[str]:
    """Return the texts within the data that no message may contain, the longest first.

    Args:
        data: What was given for a model: a mapping of keys to values, or anything else.
        is_secret: Tells for a key of `data` itself whether its value is secret; deeper down names decide.
    """
    found: set[str] = set()
    _collect_secrets(data, is_secret, found)
    return sorted(found, key=len, reverse=True)


def hide(text: str, secrets: list[str]) -> str:
    """Return the text with the secrets in it masked."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


class _MaskedModel:
    """A pydantic model as its `repr()`, secrets masked."""

    def __init__(self, model: BaseModel) -> None:
        shown = (f"{name}={MASK if is_secret_name(name) else repr(masked(value))}" for name, value in model)
        self._text = f"{type(model).__name__}({', '.join(shown)})"

    def __repr__(self) -> str:
        return self._text


def _collect_secrets(value: Any, is_secret: Callable[[str], bool], found: set[str]) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            _collect_secrets(item, _always if is_secret(str(key)) else _by_name_or(is_secret), found)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            _collect_secrets(item, is_secret, found)
    elif isinstance(value, (SecretStr, SecretBytes, Secret)):
        _collect_secrets(value.get_secret_value(), _always, found)
    elif is_secret is _always and isinstance(value, (str, bytes, int, float)):
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        if len(text) >= _SHORTEST_SECRET:
            found.update((text, repr(text)[1:-1]))


def _always(name: str) -> bool:
    return True


def _by_name_or(is_secret: Callable[[str], bool]) -> Callable[[str], bool]:
    return _always if is_secret is _always else is_secret_name
