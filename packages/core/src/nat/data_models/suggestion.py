"""Suggestions: which known word a user most likely meant."""

from collections.abc import Iterable

__all__ = ["closest"]


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was most likely meant, None if none is near; case and dashes do not matter."""
    import difflib  # only errors need it

    by_folded = {_folded(name): name for name in known}
    matches = difflib.get_close_matches(_folded(word), by_folded, n=1)
    return by_folded[matches[0]] if matches else None


def _folded(word: str) -> str:
    return word.lower().replace("-", "_")
