"""Offload: large and binary parts of content are stored elsewhere, and references take their place."""

import base64
import logging
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from nat.observability.noise import Noise, raised
from nat.observability.processor.blob_store import BlobStore, Reference
from nat.observability.snapshot import clean, encode, parsed

__all__ = ["Offload", "OffloadedParts"]

_log = logging.getLogger("nat.observability.processor")

NOT_STORED = "[not stored]"
"""In the place of a part that could not be stored."""

_BASE64_URL = re.compile(
    r"data:([\w.+-]{1,100}/[\w.+-]{1,100})?(?:;[\w.+-]{1,100}=[\w.+-]{1,100}){0,10};base64,([A-Za-z0-9+/_-]+={0,2})"
)
_PLAIN_URL = re.compile(r"data:([\w.+-]{1,100}/[\w.+-]{1,100})(?:;[\w.+-]{1,100}=[\w.+-]{1,100}){0,10},")
_MARKED = "base64:"  # how bytes are captured that are no text
_SHORTEST_PART = 12  # characters; "data:a/b,xyz", "base64:aGVsb"
_MOST_PARTS = 1_000  # of one item; further ones are removed
_SHORTEST_MARKED = 8  # characters of Base64
_SHORTEST_BASE64 = 64  # where nothing says that it is some; what is shorter may be anything
_BASE64_KEYS = ("base64", "b64_json", "file_data")
_DATA_KEYS = ("data", "bytes", "content")  # if something beside them says what kind of data they hold
_MEDIA_TYPE_KEYS = ("media_type", "mime_type", "mimeType", "mediaType", "content_type")
_HINTS = (
    "data:",
    '"base64',
    '"b64_json"',
    '"file_data"',
    '"media_type"',
    '"mime_type"',
    '"mimeType"',
    '"mediaType"',
    '"format"',
)
_TYPE_OF_FORMAT = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
}
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"), (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"), (b"OggS", "audio/ogg"), (b"fLaC", "audio/flac"), (b"ID3", "audio/mpeg"),
)  # fmt: skip
_BINARY, _TEXT, _JSON = "application/octet-stream", "text/plain", "application/json"


class Offload:
    """Stores parts of items: data URLs, Base64, bytes, and texts that are too long. Where that fails, they are removed.

    Args:
        store: Where to.
        over_chars: Texts with more characters than that are stored; `None`: none are.
        keeps_texts: Whether long texts stay in their place, too, as somebody else will cut them.
    """

    def __init__(self, store: BlobStore, over_chars: int | None, *, keeps_texts: bool) -> None:
        self._store = store
        self._over_chars = over_chars
        self._keeps_texts = keeps_texts
        self._noise = Noise(_log)

    def begin(self, look: Callable[[Any], Any]) -> "OffloadedParts":
        """Begin with an item; `look` redacts what is stored."""
        return OffloadedParts(self._put, look, self._over_chars, keeps_texts=self._keeps_texts)

    def _put(self, data: bytes, media_type: str) -> Reference | None:
        try:
            return self._store.put(data, media_type)
        except Exception as exc:
            self._noise.warn(
                "store", "content: a part of %d bytes could not be stored (%s); it is removed", len(data), raised(exc)
            )
            return None


class OffloadedParts:
    """The parts of one item, as they are taken out of it.

    Attributes:
        urls: What stands in their places.
        lost: How many could not be stored, or were too many.
    """

    def __init__(
        self,
        put: Callable[[bytes, str], Reference | None],
        look: Callable[[Any], Any],
        over_chars: int | None,
        *,
        keeps_texts: bool,
    ) -> None:
        self._put = put
        self._look = look
        self._over_chars = over_chars
        self._keeps_texts = keeps_texts
        self._references: dict[Reference, list[str]] = {}
        self._count = 0
        self.urls: set[str] = set()
        self.lost = 0

    @property
    def references(self) -> list[dict[str, Any]]:
        """What was stored, and where it was found: `url`, `sha256`, `size_bytes`, `media_type`, `at`."""
        return [{**reference._asdict(), "at": places} for reference, places in self._references.items()]

    def taken_from(self, at: str, value: Any) -> Any:
        """A value of any kind without these parts; itself if there are none. `at` says where it stands."""
        kind = type(value)
        if kind is str:
            return self._text(at, value)
        if kind is dict:
            return self._mapping(at, value)
        if kind is list or kind is tuple:
            items = [self.taken_from(at, item) for item in value]
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        if isinstance(value, bytes | bytearray | memoryview):
            return self._stored(at, bytes(value))
        return value

    def _text(self, at: str, text: str) -> str:
        if len(text) < _SHORTEST_PART and not self._is_long(text):
            return text
        if text.startswith(_MARKED):
            data = _decoded(text[len(_MARKED) :], _SHORTEST_MARKED)
            if data is not None:
                return self._stored(at, data)
        shown = text
        if "data:" in text:
            shown = self._without_urls(at, text)
        if shown[:1] in ("{", "[") and (self._is_long(shown) or any(hint in shown for hint in _HINTS)):
            shown = self._json(at, shown)
        if self._is_long(shown):
            is_json = shown[:1] in ("{", "[") and parsed(shown) is not None
            url = self._stored(at, clean(shown).encode(), _JSON if is_json else _TEXT)
            shown = shown if self._keeps_texts else url
        return shown

    def _is_long(self, text: str) -> bool:
        return self._over_chars is not None and len(text) > self._over_chars

    def _without_urls(self, at: str, text: str) -> str:
        """A text without the data URLs in it."""
        plain = _PLAIN_URL.match(text)
        if plain is not None:
            return self._stored(at, unquote_to_bytes(text[plain.end() :]), plain[1])

        def stored(match: re.Match[str]) -> str:
            data = _decoded(match[2])
            return match[0] if data is None else self._stored(at, data, match[1] or _TEXT)

        return _BASE64_URL.sub(stored, text)

    def _json(self, at: str, text: str) -> str:
        try:
            value = parsed(text)
            new = self._leaves(at, value)
        except RecursionError:
            return text
        return text if new is value else encode(new).decode()

    def _leaves(self, at: str, value: Any) -> Any:
        """The parts of a JSON text; its long texts stay in it if it will be stored as a whole."""
        if not self._keeps_texts:
            return self.taken_from(at, value)
        over_chars, self._over_chars = self._over_chars, None
        try:
            return self.taken_from(at, value)
        finally:
            self._over_chars = over_chars

    def _mapping(self, at: str, value: dict[Any, Any]) -> dict[Any, Any]:
        key, data, media_type = _base64_part(value)
        changed = {name: item if name == key else self.taken_from(at, item) for name, item in value.items()}
        if data is not None:
            changed[key] = self._stored(at, data, media_type)
        return value if all(new is value[name] for name, new in changed.items()) else changed

    def _stored(self, at: str, data: bytes, media_type: str = "") -> str:
        self._count += 1
        if self._count > _MOST_PARTS:
            self.lost += 1
            return NOT_STORED
        media_type = media_type.lower() or _type_of(data)
        if media_type.startswith("text/") or media_type == _JSON:
            data = self._looked_at(data)
        reference = self._put(data, media_type)
        if reference is None:
            self.lost += 1
            return NOT_STORED
        places = self._references.setdefault(reference, [])
        if at not in places:
            places.append(at)
        self.urls.add(reference.url)
        return reference.url

    def _looked_at(self, data: bytes) -> bytes:
        """What is a text, redacted: it may have been none before, as in Base64, or come from a processor."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return data
        looked: str = self._look(text)
        return data if looked is text else looked.encode("utf-8", "replace")


def _base64_part(value: dict[Any, Any]) -> tuple[str, bytes | None, str]:
    """The key of a mapping that holds data in Base64, that data, and its media type; `None` if there is none."""
    media_type = next((value[key] for key in _MEDIA_TYPE_KEYS if type(value.get(key)) is str), "")
    format_name = value.get("format")
    if not media_type and type(format_name) is str:
        media_type = _TYPE_OF_FORMAT.get(format_name, "")
    is_said = bool(media_type) or value.get("type") == "base64"
    for key in (*_BASE64_KEYS, *_DATA_KEYS):
        text = value.get(key)
        if type(text) is str and (is_said or key in _BASE64_KEYS):
            data = _decoded(text, _SHORTEST_BASE64)
            if data is not None:
                return key, data, media_type
    return "", None, ""


def _decoded(text: str, shortest: int = 1) -> bytes | None:
    """What a text says in Base64, of either alphabet; `None` if it is too short or says something else."""
    if len(text) < shortest or not text.isascii():
        return None
    packed = text.translate({ord("-"): "+", ord("_"): "/", ord("\n"): None, ord("\r"): None}).rstrip("=")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except ValueError:
        return None


def _type_of(data: bytes) -> str:
    """The media type that the first bytes give away."""
    if data[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(data[8:12], _BINARY)
    return next((media_type for beginning, media_type in _BEGINNINGS if data.startswith(beginning)), _BINARY)
