"""Rules: what is redacted and what is put in its place, as plain values."""

import hashlib
import hmac
import re
from dataclasses import dataclass

from nat.observability.redaction.settings import FieldRule, RedactAction, RedactConfig, RedactProfile

__all__ = ["Rules", "is_mark", "rules_of"]

_SHOWN_CHARS = 4
_SHORTEST_SHOWN = 12  # characters; of a shorter text, four would be too much
_HASH_DIGITS = 16

_MARK = re.compile(r"\[REDACTED:\w+\]|__REDACTED__|\*{4,}\S{0,4}|hmac:[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Rules:
    """What `RedactConfig` says.

    Attributes:
        profile: Which detectors look.
        action, replacement, hash_key: What is done with what was found.
        names: Globs for names of fields at any depth, each with its action.
        paths: Globs for paths, each with its action.
        patterns: Patterns of the user's, with their names.
        roles: Of messages whose content is redacted.
        allow: Globs for texts that stay.
        without: Names of detectors that do not look.
    """

    profile: RedactProfile = "secrets"
    action: RedactAction = "replace"
    replacement: str = "[REDACTED:{name}]"
    hash_key: bytes = b""
    names: tuple[tuple[str, RedactAction], ...] = ()
    paths: tuple[tuple[str, RedactAction], ...] = ()
    patterns: tuple[tuple[str, str], ...] = ()
    roles: frozenset[str] = frozenset()
    allow: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()

    @property
    def has_any(self) -> bool:
        """Whether anything is redacted."""
        return self.profile != "none" or bool(self.names or self.paths or self.patterns or self.roles)

    def mark(self, name: str, secret: str, action: RedactAction | None = None) -> str:
        """What stands in the place of a text; `name` says what it is."""
        match action or self.action:
            case "replace":
                return self.replacement.replace("{name}", name)
            case "remove":
                return ""
            case "mask":
                return "********"
            case "partial":
                return "****" + (secret[-_SHOWN_CHARS:] if len(secret) >= _SHORTEST_SHOWN else "")
            case "hash":
                digest = hmac.new(self.hash_key, secret.encode("utf-8", "replace"), hashlib.sha256)
                return f"hmac:{digest.hexdigest()[:_HASH_DIGITS]}"


def is_mark(text: str) -> bool:
    """Whether a text says that something has been redacted, and nothing else."""
    return _MARK.fullmatch(text) is not None


def rules_of(config: RedactConfig) -> Rules:
    """The rules of a configuration."""
    fields = [
        (field.path, field.action or config.action) if isinstance(field, FieldRule) else (field, config.action)
        for field in config.fields
    ]
    return Rules(
        profile=config.profile,
        action=config.action,
        replacement=config.replacement,
        hash_key=b"" if config.hash_key is None else config.hash_key.get_secret_value().encode(),
        names=tuple(field for field in fields if "." not in field[0]),
        paths=tuple(field for field in fields if "." in field[0]),
        patterns=tuple(config.patterns.items()),
        roles=frozenset(config.roles),
        allow=tuple(config.allow),
        without=frozenset(config.without),
    )
