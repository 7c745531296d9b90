"""How a tree looks: lines made of styled parts, the same for a terminal and for a log file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple

from nat.data_models.intermediate_step import IntermediateStepCategory
from nat.observability.snapshot import snapshot, text
from nat.plugins.console.tree import Outcome, ShownStep, ShownUsage

__all__ = [
    "ASCII",
    "UNICODE",
    "Line",
    "Look",
    "Part",
    "PartStyle",
    "Symbols",
    "duration_text",
    "lay_out",
    "lay_out_end",
]

PartStyle = Literal["guide", "ok", "failed", "running", "unfinished", "kind", "name", "top", "number", "note", "error"]

_MAX_LABEL_WIDTH = 64
_MIN_LABEL_WIDTH = 16
_MAX_DRAWN_DEPTH = 24
_COLUMN_GAP = "  "
_FRAME_S = 0.1


@dataclass(frozen=True, slots=True)
class Symbols:
    """The characters that a stream's encoding allows."""

    ok: str
    failed: str
    unfinished: str
    running: str
    branch: str
    last: str
    pass_by: str
    blank: str
    arrow: str
    ellipsis: str

    def mark(self, outcome: Outcome, now: float) -> str:
        """The sign in front of a step; that of a running one moves with the time."""
        if outcome == "running":
            return self.running[int(now / _FRAME_S) % len(self.running)]
        return {"ok": self.ok, "failed": self.failed, "unfinished": self.unfinished}[outcome]


UNICODE = Symbols("✓", "✗", "!", "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "├─ ", "└─ ", "│  ", "   ", "→", "…")
ASCII = Symbols("+", "x", "!", "|/-\\", "|-- ", "`-- ", "|   ", "    ", "->", "...")


class Part(NamedTuple):
    """Text in one style."""

    text: str
    style: PartStyle


Line = list[Part]


@dataclass(frozen=True, slots=True)
class Look:
    """What decides how trees look.

    Attributes:
        max_content_chars: How much of a step's input and output is shown; 0 shows none.
        width: Columns of the terminal; `None` never cuts or wraps.
        text_width: Columns that a text takes.
        encoding: Of the stream; characters that it has not are escaped.
    """

    symbols: Symbols = UNICODE
    max_content_chars: int = 0
    width: int | None = None
    text_width: Callable[[str], int] = len
    encoding: str = "utf-8"


class _Placed(NamedTuple):
    """A step with what its place in the tree puts before it and before the lines below it."""

    step: ShownStep
    guide: str
    guide_below: str


def lay_out(top: ShownStep, look: Look) -> list[Line]:
    """A whole tree that has ended: one line a step, and below it its error and content."""
    placed = list(_upwards(top, look.symbols))
    placed.reverse()
    return _lines(placed, look, now=0.0)


def lay_out_end(top: ShownStep, look: Look, *, max_lines: int, now: float) -> list[Line]:
    """A tree that still grows: its first line and as many of its last ones as there is room for.

    The cost depends on `max_lines`, not on the size of the tree.
    """
    placed = list(islice(_upwards(top, look.symbols), max_lines))
    placed.reverse()
    is_whole = placed[0].step is top
    lines = _lines(placed if is_whole else [_Placed(top, "", ""), *placed], look, now)
    if is_whole and len(lines) <= max_lines:
        return lines
    cut = [Part(f"{look.symbols.pass_by}{look.symbols.ellipsis}", "guide")]
    return [lines[0], cut, *lines[1:][-max(max_lines - 2, 1) :]][:max_lines]


def _upwards(top: ShownStep, symbols: Symbols) -> Iterator[_Placed]:
    """The steps of a tree from the last line to the first, lazily."""
    path = [(_Placed(top, "", ""), reversed(top.children))]
    while path:
        placed, children_left = path[-1]
        child = next(children_left, None)
        if child is None:
            yield path.pop()[0]
        else:
            path.append((_below(placed, child, len(path), symbols), reversed(child.children)))


def _below(parent: _Placed, child: ShownStep, depth: int, symbols: Symbols) -> _Placed:
    if depth > _MAX_DRAWN_DEPTH:  # else the guides of a deep tree outgrow everything
        return _Placed(child, f"{parent.guide_below}{symbols.ellipsis}{depth} ", parent.guide_below)
    is_last = child is parent.step.children[-1]
    return _Placed(
        child,
        parent.guide_below + (symbols.last if is_last else symbols.branch),
        parent.guide_below + (symbols.blank if is_last else symbols.pass_by),
    )


class _Row(NamedTuple):
    label: Line
    duration: str
    notes: list[Part]
    below: list[Line]


def _lines(placed: Sequence[_Placed], look: Look, now: float) -> list[Line]:
    rows = [_row(place, look, now) for place in placed]
    label_width = min(max(_width(row.label, look) for row in rows), _label_bound(look))
    duration_width = max(len(row.duration) for row in rows)
    lines: list[Line] = []
    for row in rows:
        padding = max(label_width - _width(row.label, look), 0)
        duration = Part(f"{' ' * padding}{_COLUMN_GAP}{row.duration:>{duration_width}}", "number")
        lines.append([*row.label, duration, *(Part(_COLUMN_GAP + note.text, note.style) for note in row.notes)])
        lines.extend(row.below)
    return lines


def _row(place: _Placed, look: Look, now: float) -> _Row:
    step = place.step
    end = now if step.outcome == "running" else step.ended
    below_step = place.guide_below + (look.symbols.pass_by if step.children else look.symbols.blank)
    return _Row(
        label=_label(place, look, now),
        duration="" if end is None else duration_text(max(end - step.started, 0.0)),
        notes=_notes(step, look),
        below=[line for part in _details(step, look) for line in _wrapped(below_step, part, look)],
    )


def _label(place: _Placed, look: Look, now: float) -> Line:
    step = place.step
    guide = Part(place.guide, "guide")
    mark = Part(look.symbols.mark(step.outcome, now), step.outcome)
    kind = step.kind.value.lower()
    if not step.name:
        return [guide, mark, Part(f" {kind}", "kind")]
    room = 200 if look.width is None else max(_label_bound(look) - len(place.guide) - len(kind) - 3, 8)
    name = _cut(_one_line(step.name, 200, look), room, look)
    return [guide, mark, Part(f" {kind}", "kind"), Part(f" {name}", "top" if step.top is step else "name")]


def _label_bound(look: Look) -> int:
    if look.width is None:
        return _MAX_LABEL_WIDTH
    return max(min(look.width - 36, _MAX_LABEL_WIDTH), _MIN_LABEL_WIDTH)


def _notes(step: ShownStep, look: Look) -> list[Part]:
    notes = []
    if step.outcome == "unfinished":
        notes.append(Part("never ended", "unfinished"))
    usage = step.usage
    if not usage and step.model_usage:
        usage = step.model_usage
        notes.append(Part(_counted(usage.llm_calls, "model call"), "note"))
    if usage:
        notes.append(Part(_tokens(usage, look.symbols), "number"))
    if step.first_chunk is not None:
        waited = duration_text(max(step.first_chunk - step.started, 0.0))
        notes.append(Part(f"{_counted(step.chunk_count, 'chunk')}, first after {waited}", "note"))
    if step.model is not None and step.model != step.name:
        notes.append(Part(_one_line(step.model, 60, look), "note"))
    if step.is_orphan and step.kind is not IntermediateStepCategory.WORKFLOW:
        notes.append(Part("parent not seen", "note"))
    return notes


def _tokens(usage: ShownUsage, symbols: Symbols) -> str:
    if usage.completion:
        return f"{usage.prompt:,} {symbols.arrow} {usage.completion:,} tokens"
    return f"{usage.total:,} tokens"


def _details(step: ShownStep, look: Look) -> Iterator[Part]:
    if look.max_content_chars:
        for label, value in (("input", step.input), ("output", step.output)):
            if value is not None:
                yield Part(f"{label}: {_content(value, look)}", "note")
    if step.error is not None and not any(child.error == step.error for child in reversed(step.children)):
        yield Part(_one_line(step.error, 1000, look), "error")


def _content(value: Any, look: Look) -> str:
    return _one_line(text(snapshot(value))[0], look.max_content_chars, look)


def _wrapped(guide: str, part: Part, look: Look) -> Iterator[Line]:
    guide_part = Part(guide, "guide")
    if look.width is None:
        yield [guide_part, part]
        return
    import textwrap

    for piece in textwrap.wrap(part.text, max(look.width - len(guide) - 1, 20)):
        yield [guide_part, Part(piece, part.style)]


def _width(line: Line, look: Look) -> int:
    return sum(look.text_width(part.text) for part in line)


def _cut(text: str, room: int, look: Look) -> str:
    if look.text_width(text) <= room:
        return text
    kept = text[:room]
    while kept and look.text_width(kept + look.symbols.ellipsis) > room:
        kept = kept[:-1]
    return kept + look.symbols.ellipsis


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _one_line(text: str, max_chars: int, look: Look) -> str:
    """`text` without line breaks and without what a terminal would act on or the encoding has not, cut to `max_chars`."""
    words = " ".join(text[: 4 * max_chars].split())
    shown = "".join(_shown(char, look.encoding) for char in words[: max_chars + 1])
    ellipsis = look.symbols.ellipsis
    return shown if len(shown) <= max_chars else shown[: max(max_chars - len(ellipsis), 0)] + ellipsis


def _shown(char: str, encoding: str) -> str:
    if not char.isprintable():
        return char.encode("unicode_escape").decode("ascii")
    return char if char.isascii() else char.encode(encoding, "backslashreplace").decode(encoding)


def duration_text(seconds: float) -> str:
    """A duration as people write it: `0.4 ms`, `420 ms`, `1.24 s`, `2 min 03 s`, `1 h 02 min`."""
    if seconds < 0.000_95:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds >= 9.995 else f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
