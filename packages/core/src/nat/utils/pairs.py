"""Pairs in one text, as environment variables of OpenTelemetry hold them."""

from urllib.parse import unquote

__all__ = ["pairs_in"]


def pairs_in(text: str) -> dict[str, str]:
    """What a list of `key=value` says, as in W3C Baggage.

    Raises:
        ValueError: A part of it is no such pair.
    """
    pairs = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, separator, value = part.partition("=")
        if not separator or not key.strip():
            raise ValueError("a part has no '=', expected key=value,key=value")
        pairs[unquote(key.strip())] = unquote(value.strip())
    return pairs
