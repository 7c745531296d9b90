"""The scanner: finds what detectors look for, in linear time, in one pass for all of them."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nat.observability.redaction.detectors import Detector
from nat.utils.forking import keep_for_ever

if TYPE_CHECKING:
    import re2

__all__ = ["Finding", "Scanner", "TooManyFindingsError", "compiled", "pattern_error"]

_MOST_CANDIDATES = 20_000  # in one text: 5 us each; more of them are not looked at one by one
_MEMORY_BYTES = 16 * 2**20
_LARGE_BYTES = 64 * 1024  # beyond, several small automata are faster than one whose states do not fit into memory
_GROUP_SIZE = 53
_NOTHING: list[int] = []
_PROBE, _PROBED = r"\x00is it working\x00", b"\x00is it working\x00"
_NO_DETECTOR = 1_000_000

_KEY = r"""(?:{})\\*["']\s*:"""
_ESCAPED_ASCII = r"\\u00[2-7][0-9A-Fa-f]"


class TooManyFindingsError(Exception):
    """There is more in a text than can be taken out of it in a reasonable time."""


class Finding(NamedTuple):
    """Where something was found, in bytes of UTF-8, and by what."""

    start: int
    end: int
    detector: Detector


class Scanner:
    """What all detectors find. Thread-safe.

    Args:
        detectors: What to look for; where findings overlap, the one that begins first counts, and of those the longest.
        names: Patterns of names of fields that matter whatever they hold.
    """

    def __init__(self, detectors: Iterable[Detector], names: Iterable[str]) -> None:
        found = sorted(detectors, key=lambda detector: detector.profile == "own")
        self._detectors = tuple(found)
        self._prose = frozenset(index for index, detector in enumerate(found) if detector.is_prose)
        own = [detector.pattern for detector in found if detector.profile == "own"]
        ours = [detector.pattern for detector in found if detector.profile != "own"]
        self._key = len(found)
        self._escape = len(found) + 1
        tail = (_KEY.format("|".join(names)), _ESCAPED_ASCII)
        numbers = [*range(len(ours)), self._key, self._escape]
        patterns = [*ours, *tail]
        self._all = [_Set(patterns, numbers)]
        self._groups = [
            _Set(patterns[first : first + _GROUP_SIZE], numbers[first : first + _GROUP_SIZE])
            for first in range(0, len(patterns), _GROUP_SIZE)
        ]
        self._match: Callable[[bytes], list[int] | None] = self._all[0].match
        if own:
            theirs = _Set(own, range(len(ours), len(found)), is_text=True)
            self._all.append(theirs)
            self._groups.append(theirs)
            self._match = self.hits

    def is_clean(self, data: bytes) -> bool:
        """Whether there is nothing in a text, or in JSON text."""
        hits = self._match(data) if len(data) < _LARGE_BYTES else self.hits(data)
        return not hits or (self._prose.issuperset(hits) and all(self._is_mere_prose(hit, data) for hit in hits))

    def hits(self, data: bytes) -> list[int]:
        """What there might be in a text, or in JSON text: nothing, or something to give to `findings`."""
        sets = self._all if len(data) < _LARGE_BYTES else self._groups
        found = sets[0].matches(data)
        for one in sets[1:]:
            found = found + one.matches(data)
        return found

    def _is_mere_prose(self, hit: int, data: bytes) -> bool:
        """Whether all that a detector finds is refused by its check, and would be if escapes were decoded, too."""
        detector = self._detectors[hit]
        pattern = compiled(detector.pattern)
        for count, match in enumerate(pattern.finditer(data)):
            start, end = match.span(1)
            if count >= _MOST_CANDIDATES or data[end : end + 1] == b"\\" or detector.check is None:
                return False
            if detector.check(data[start:end], data[match.start() : match.end()]) is not None:
                return False
        return True

    def has_key(self, hits: Sequence[int]) -> bool:
        """Whether there might be a mapping with a key of a secret."""
        return self._key in hits

    def has_escapes(self, hits: Sequence[int]) -> bool:
        """Whether there are escapes of ASCII characters, in which something might be hidden."""
        return self._escape in hits

    def findings(self, data: bytes, hits: Sequence[int]) -> list[Finding]:
        """What is in a text, in order, without overlaps.

        Raises:
            TooManyFindingsError: There are more than 20,000 places to look at.
        """
        found: list[Finding] = []
        left = _MOST_CANDIDATES
        for hit in hits:
            if hit < len(self._detectors):
                left = _find(self._detectors[hit], data, found, left)
        found.sort(key=lambda finding: (finding.start, -finding.end))
        end = 0
        kept = []
        for finding in found:
            if finding.end > end:  # what begins within another one and ends behind it is cut, not left
                kept.append(finding._replace(start=max(finding.start, end)))
                end = finding.end
        return kept


class _Set:
    """Patterns that are looked for together; `numbers` say what they are called in the result.

    Raises:
        ValueError: They are too large for the memory that they may take.
    """

    __slots__ = ("_numbers", "match")

    def __init__(self, patterns: Sequence[str], numbers: Sequence[int], *, is_text: bool = False) -> None:
        import re2

        compiled = re2.Set.SearchSet(_options(is_text))
        for pattern in (*patterns, _PROBE):
            compiled.Add(pattern.encode())
        try:
            compiled.Compile()
            is_working = bool(compiled.Match(_PROBED))  # without memory nothing is found, and nothing is said
        except re2.error:
            is_working = False
        if not is_working:
            raise ValueError("the patterns for redaction are too large together; use fewer, or simpler ones")
        self.match: Callable[[bytes], list[int] | None] = compiled.Match
        self._numbers = (*numbers, _NO_DETECTOR)

    def matches(self, data: bytes) -> list[int]:
        found = self.match(data)
        return [self._numbers[index] for index in found] if found else _NOTHING


def _find(detector: Detector, data: bytes, found: list[Finding], left: int) -> int:
    """Add what one detector finds; looks at `left` places at most, and returns how many of these are left."""
    pattern = compiled(detector.pattern, is_text=detector.profile == "own")
    group = 1 if pattern.groups else 0
    for match in pattern.finditer(data):
        left -= 1
        if left < 0:
            raise TooManyFindingsError
        start, end = match.span(group)
        if detector.check is not None:
            part = detector.check(data[start:end], data[match.start() : match.end()])
            if part is None:
                continue
            start, end = start + part[0], start + part[1]
        if end > start:
            found.append(Finding(start, end, detector))
    return left


def pattern_error(pattern: str) -> str | None:
    """What is wrong with a pattern; `None` if it can be used."""
    import re2

    try:
        compiled(pattern, is_text=True)
    except re2.error as exc:
        reason = exc.args[0]
        return reason.decode() if isinstance(reason, bytes) else str(reason)
    return None


_patterns: dict[tuple[str, bool], Any] = {}


def compiled(pattern: str, *, is_text: bool = False) -> Any:
    """A pattern, for bytes; `is_text`: characters beyond ASCII are one each."""
    import re2

    known = _patterns.get((pattern, is_text))
    return known or _patterns.setdefault((pattern, is_text), re2.compile(pattern.encode(), _options(is_text)))


def _leave_to_parent() -> None:
    """In a forked child: another thread may have been searching, and has left a pattern's cache locked."""
    global _patterns
    keep_for_ever(_patterns)
    _patterns = {}
    purge = getattr(sys.modules.get("re2"), "purge", None)  # not there yet if another thread was importing it
    if purge is not None:
        purge()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def _options(is_text: bool) -> "re2.Options":
    """Bytes are characters unless users write patterns: fewer states than UTF-8."""
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.UTF8 if is_text else re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    return options
