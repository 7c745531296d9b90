"""The documentation as sections, ranked for a query by BM25; standard library only."""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_K1, _B = 1.5, 0.75  # BM25's usual constants: how soon repetition counts less, how much length matters
_HEADING_WEIGHT = 3
_WORD = re.compile(r"[a-z0-9]+")
_ENDING = re.compile(r"(?<=\w{3})(?:(?<!s)s|ing|ed|e)+$")
_HEADING = re.compile(r"#{1,6} +(.+)")
_STOP_WORDS = frozenset(
    _WORD.findall(
        "a an and are as at be but by can do does for from has have how i if in is it its me my no not of on or our please so "
        "that the their them then there these they this to was we what when where which who why will with would you your"
    )
)


class PageNotFoundError(LookupError):
    """There is no page of that name."""


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading of a page; the first heading is the page's title."""

    page: str
    title: str
    heading: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its words as a search sees them: those of the title, of the heading, which count more, and of the text."""
        return words(self.title) + words(self.heading) * _HEADING_WEIGHT + words(self.text)


class DocsIndex:
    """The Markdown pages below a folder, by their paths relative to it; those in `without` are left out."""

    def __init__(self, folder: Path, *, without: Collection[str] = ()) -> None:
        texts = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.md")}
        self._pages = {path: texts[path] for path in sorted(texts) if path not in without}
        self._sections = [section for page, text in self._pages.items() for section in sections(page, text)]
        self._ranking = Bm25([section.words for section in self._sections])

    @property
    def pages(self) -> list[str]:
        """The paths of all pages."""
        return list(self._pages)

    def page(self, path: str) -> str:
        """The text of a page.

        Raises:
            PageNotFoundError: There is none of that path.
        """
        text = self._pages.get(path.removeprefix("docs/"))
        if text is None:
            raise PageNotFoundError(f"there is no page {path!r}; there are {', '.join(self._pages)}")
        return text

    def search(self, query: str, limit: int) -> list[dict[str, Any]]:
        """The sections that match best, best first; none that shares no word with the query."""
        scored = zip(self._ranking.scores(words(query)), self._sections, strict=True)
        best = sorted((pair for pair in scored if pair[0] > 0), key=lambda pair: -pair[0])[:limit]
        return [
            {
                "id": f"{section.page}#{section.heading}",
                "content": section.text,
                "score": round(score, 3),
                "metadata": {"page": section.page, "heading": section.heading},
            }
            for score, section in best
        ]


class Bm25:
    """Okapi BM25 over texts, each a list of words."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        self._counts = [Counter(text) for text in texts]
        self._lengths = [len(text) for text in texts]
        self._mean_length = sum(self._lengths) / max(len(texts), 1) or 1.0
        containing = Counter(word for counts in self._counts for word in counts)
        self._weights = {
            word: math.log(1 + (len(texts) - count + 0.5) / (count + 0.5)) for word, count in containing.items()
        }

    def scores(self, query: Sequence[str]) -> list[float]:
        """How well each text matches; 0 for one that shares no word with the query."""
        return [self._score(set(query), counts, n) for counts, n in zip(self._counts, self._lengths, strict=True)]

    def _score(self, query: set[str], counts: Counter[str], length: int) -> float:
        damping = _K1 * (1 - _B + _B * length / self._mean_length)
        shared = query & counts.keys()
        return sum(self._weights[word] * counts[word] * (_K1 + 1) / (counts[word] + damping) for word in shared)


def words(text: str) -> list[str]:
    """The words of a text that a search looks at: lower case, without stop words and usual endings."""
    return [_ENDING.sub("", word) for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS]


def sections(page: str, text: str) -> Iterator[Section]:
    """The sections of a page that hold any text; a `#` inside a code block begins none."""
    title = heading = page
    lines: list[str] = []
    is_code = False
    for line in [*text.splitlines(), "# end"]:
        is_code ^= line.startswith("```")
        found = None if is_code else _HEADING.fullmatch(line)
        if found is None:
            lines.append(line)
            continue
        if any(map(str.strip, lines)):
            yield Section(page, title, heading, "\n".join(lines).strip())
        title = found[1] if title == page else title
        heading, lines = found[1], []
