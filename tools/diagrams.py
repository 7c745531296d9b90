"""Draw the diagrams of the documentation: `docs/explain/images/NAME-light.svg` and `-dark.svg`.

    uv run tools/diagrams.py           # write them
    uv run tools/diagrams.py --check   # exit 1 if they are not what would be written

They are narrow, so that they can be read on a telephone, and need neither a script nor a font.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs/explain/images"

Tone = Literal["plain", "ours", "outside", "disk"]
Palette = Mapping[str, str]

_LINE = 19
_PALETTES: Mapping[str, Palette] = {
    "light": {
        "text": "#1f2430", "faint": "#5b6472", "line": "#6b7480", "zone": "#f3f5f9", "zone_edge": "#cfd6e1",
        "plain": "#ffffff", "plain_edge": "#8892a2", "ours": "#e3e8fb", "ours_edge": "#4051b5",
        "outside": "#fdf1dc", "outside_edge": "#b7791f", "disk": "#e3f4ec", "disk_edge": "#2f855a",
    },
    "dark": {
        "text": "#e6e9f0", "faint": "#aab3c2", "line": "#9aa4b5", "zone": "#22252f", "zone_edge": "#3f4656",
        "plain": "#2e323e", "plain_edge": "#7d8798", "ours": "#2b3360", "ours_edge": "#8f9df0",
        "outside": "#443417", "outside_edge": "#e0a84a", "disk": "#1d3a2d", "disk_edge": "#5cc496",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Zone:
    """A tinted area with a caption at its top, so far from its left."""

    x: int
    y: int
    width: int
    height: int
    caption: str
    indent: int = 14


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; the first line is its name, the others say more."""

    x: int
    y: int
    width: int
    lines: Sequence[str]
    tone: Tone = "plain"

    @property
    def height(self) -> int:
        return 14 + _LINE * len(self.lines)

    @property
    def bottom(self) -> tuple[int, int]:
        return self.x + self.width // 2, self.y + self.height

    @property
    def top(self) -> tuple[int, int]:
        return self.x + self.width // 2, self.y


@dataclass(frozen=True, slots=True)
class Arrow:
    """From point to point, by corners; dashed for what happens only sometimes, without a tip for what branches."""

    points: Sequence[tuple[int, int]]
    is_dashed: bool = False
    has_tip: bool = True


@dataclass(frozen=True, slots=True)
class Note:
    """Faint words beside something."""

    x: int
    y: int
    lines: Sequence[str]


Part = Zone | Box | Arrow | Note


@dataclass(frozen=True, slots=True)
class Diagram:
    """Parts on a canvas; `description` is for those who do not see it."""

    name: str
    width: int
    height: int
    description: str
    parts: Sequence[Part]


def _stack(x: int, y: int, width: int, gap: int, *texts: tuple[Tone, Sequence[str]]) -> list[Box]:
    """Boxes from top to bottom."""
    boxes: list[Box] = []
    for tone, lines in texts:
        boxes.append(Box(x, y, width, lines, tone))
        y += boxes[-1].height + gap
    return boxes


def _chain(boxes: Sequence[Box]) -> list[Arrow]:
    return [Arrow([first.bottom, second.top]) for first, second in pairwise(boxes)]


def _beside(box: Box, *lines: str) -> Note:
    return Note(box.x + box.width + 14, box.y + 22, lines)


def flow() -> Diagram:
    """From agent code to a backend."""
    capture = _stack(
        26, 44, 216, 22,
        ("plain", ["agent code"]),
        ("ours", ["step", "below the step around it"]),
        ("ours", ["event stream"]),
        ("ours", ["capture", "ids, times, a snapshot"]),
    )  # fmt: skip
    deliver = _stack(
        26, 352, 216, 22,
        ("ours", ["intake", "bounded by count and bytes"]),
        ("ours", ["redact, describe", "shared where rules agree"]),
        ("ours", ["pipeline", "processors, configured", "and added by the author"]),
        ("disk", ["spool, if there is one", "on disk until acknowledged"]),
        ("ours", ["deliver", "timeout, retry, breaker"]),
        ("outside", ["backend", "acknowledges"]),
    )  # fmt: skip
    sender = deliver[4]
    letters = Box(270, sender.y + 76, 164, ["dead letters,", "if they are kept"], "disk")
    return Diagram(
        "flow", 460, 836,
        "Steps are captured on the workflow's own threads. On the telemetry thread, one lane for each exporter takes them from "
        "the intake through redaction, description, processors and spool to delivery and the backend.",
        [
            Zone(8, 8, 444, 292, "the workflow's own threads: nothing waits"),
            Zone(8, 316, 444, 512, "the telemetry thread, a lane per exporter", indent=144),
            *capture, *_chain(capture), *deliver, *_chain(deliver), Arrow([capture[-1].bottom, deliver[0].top]),
            letters, Arrow([(sender.x + sender.width, sender.y + 26), (352, sender.y + 26), letters.top], is_dashed=True),
            _beside(capture[1], "@observe, step(…),", "or pushed events"),
            _beside(capture[3], "once a run, shared", "by all exporters"),
            _beside(deliver[0], "full: queue_full"),
            _beside(deliver[1], "secrets are out here"),
            _beside(deliver[2], "filtered, sampled_out,", "processor_error,", "processor_timeout"),
            _beside(deliver[3], "survives a crash"),
        ],
    )  # fmt: skip


def kinds() -> Diagram:
    """The four kinds of exporters, and what each gets."""
    raw, span, otel, own = (8, 120, 232, 344)
    top = Box(126, 8, 208, ["events of the agent", "START, chunks, END"], "ours")
    rows: list[Part] = [top]
    columns: Sequence[tuple[int, Sequence[Sequence[str]]]] = (
        (raw, (["each event"], ["pipeline"], ["Raw", "Exporter"])),
        (span, (["a span", "when it ends"], ["pipeline"], ["Span", "Exporter"])),
        (otel, (["a span", "when it ends"], ["pipeline,", "OtelSpan"], ["OtelSpan", "Exporter"])),
        (own, (["what you", "make of it"], ["pipeline"], ["Processing", "Exporter"])),
    )
    for x, (gets, passes, exports) in columns:
        column = [Box(x, 100, 108, gets), Box(x, 186, 108, passes, "ours"), Box(x, 272, 108, exports, "outside")]
        rows += [*column, *_chain(column), Arrow([(x + 54, 80), (x + 54, 100)])]
    return Diagram(
        "kinds", 460, 380,
        "Events of the agent reach four kinds of exporters: a raw exporter gets each event, a span exporter and an "
        "OpenTelemetry exporter each span when it ends, a processing exporter what its author makes of the events. Each has a "
        "pipeline of processors before it exports.",
        [*rows, Arrow([top.bottom, (230, 80)], has_tip=False), Arrow([(62, 80), (398, 80)], has_tip=False),
         Note(8, 348, ["each item, or each list of items, goes to export_processed()"])],
    )  # fmt: skip


def isolation() -> Diagram:
    """What runs share, and what is each run's own."""
    shared = Box(96, 44, 268, ["your exporter, started once", "client, settings, keys: plain attributes"], "ours")
    first = Box(20, 164, 200, ["copy for run 1", "IsolatedAttribute: fresh", "_flush() at its end"])
    second = Box(240, 164, 200, ["copy for run 2", "IsolatedAttribute: fresh", "_flush() at its end"])
    end = Box(96, 306, 268, ["_flush() and _cleanup()", "once, when the program ends"], "outside")
    return Diagram(
        "isolation", 460, 372,
        "Copies of an exporter, one for each run, share its plain attributes and have fresh isolated attributes. The end of a "
        "run flushes its copy; the original is flushed and cleaned up once, when the program ends.",
        [
            Zone(8, 8, 444, 266, "runs at the same time"),
            shared, first, second, end,
            Arrow([(170, shared.bottom[1]), (120, first.y)]), Arrow([(290, shared.bottom[1]), (340, second.y)]),
            Arrow([(120, first.bottom[1]), (180, end.y)]), Arrow([(340, second.bottom[1]), (280, end.y)]),
            Note(201, 136, ["one client"]),
        ],
    )  # fmt: skip


def fates() -> Diagram:
    """What becomes of an item."""
    taken = Box(126, 8, 208, ["accepted"], "ours")
    tried = Box(105, 84, 250, ["processed, sent, tried again"], "ours")
    delivered = Box(8, 190, 108, ["delivered"], "outside")
    waiting = Box(120, 190, 108, ["pending,", "spooled"], "disk")
    dropped = Box(232, 190, 108, ["dropped", "by reason"])
    refused = Box(344, 190, 108, ["refused", "for good"])
    rejected = Box(232, 292, 108, ["rejected"])
    letters = Box(344, 292, 108, ["dead letter", "if they are kept"], "disk")
    return Diagram(
        "fates", 460, 384,
        "An accepted item is processed, sent, and tried again. It ends delivered, dropped with a reason, or refused for good: "
        "rejected, or kept as a dead letter. Until then it is pending or spooled.",
        [
            taken, tried, delivered, waiting, dropped, refused, rejected, letters,
            Arrow([taken.bottom, tried.top]), Arrow([tried.bottom, (230, 150)], has_tip=False),
            Arrow([(62, 150), (398, 150)], has_tip=False),
            *(Arrow([(box.top[0], 150), box.top]) for box in (delivered, waiting, dropped, refused)),
            Arrow([refused.bottom, letters.top]), Arrow([(398, 264), (286, 264), rejected.top]),
            Note(8, 366, ["every accepted item is counted in exactly one of these"]),
        ],
    )  # fmt: skip


DIAGRAMS = (flow, kinds, isolation, fates)


def svg(diagram: Diagram, palette: Palette) -> str:
    """The diagram as SVG, in the colours of a palette."""
    order = (Zone, Arrow, Box, Note)
    drawn = [
        line for kind in order for part in diagram.parts if isinstance(part, kind) for line in _draw(part, palette)
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {diagram.width} {diagram.height}" '
        f'width="{diagram.width}" height="{diagram.height}" role="img" font-family="system-ui, sans-serif" font-size="14">'
    )
    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{palette["line"]}"/></marker></defs>'
    )
    return "\n".join([head, f"<title>{escape(diagram.description)}</title>", tip, *drawn, "</svg>", ""])


def _draw(part: Part, palette: Palette) -> Iterator[str]:
    match part:
        case Zone():
            yield _rectangle(part.x, part.y, part.width, part.height, palette["zone"], palette["zone_edge"])
            yield _text(part.x + part.indent, part.y + 22, part.caption, palette["faint"], size=13)
        case Box():
            edge = palette[f"{part.tone}_edge"]
            yield _rectangle(part.x, part.y, part.width, part.height, palette[part.tone], edge)
            middle = part.x + part.width // 2
            for index, line in enumerate(part.lines):
                y = part.y + 21 + _LINE * index
                colour = palette["text"] if index == 0 else palette["faint"]
                yield _text(middle, y, line, colour, is_centred=True, is_bold=index == 0, size=14 if index == 0 else 13)
        case Arrow():
            points = " ".join(f"{x},{y}" for x, y in part.points)
            dashes = ' stroke-dasharray="5 4"' if part.is_dashed else ""
            tip = ' marker-end="url(#tip)"' if part.has_tip else ""
            yield f'<polyline points="{points}" fill="none" stroke="{palette["line"]}" stroke-width="1.5"{dashes}{tip}/>'
        case Note():
            for index, line in enumerate(part.lines):
                yield _text(part.x, part.y + _LINE * index, line, palette["faint"], size=13)


def _rectangle(x: int, y: int, width: int, height: int, fill: str, edge: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="{edge}"/>'


def _text(
    x: int, y: int, words: str, colour: str, *, is_centred: bool = False, is_bold: bool = False, size: int = 14
) -> str:
    anchor = ' text-anchor="middle"' if is_centred else ""
    weight = ' font-weight="600"' if is_bold else ""
    return f'<text x="{x}" y="{y}" fill="{colour}" font-size="{size}"{anchor}{weight}>{escape(words)}</text>'


def files() -> dict[Path, str]:
    """What is to be written, by path."""
    return {
        FOLDER / f"{diagram.name}-{mode}.svg": svg(diagram, palette)
        for diagram in (draw() for draw in DIAGRAMS)
        for mode, palette in _PALETTES.items()
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Draw the diagrams of the documentation.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    options = parser.parse_args(arguments)
    if not options.check:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for path, text in files().items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path.name for path, text in files().items() if not path.exists() or path.read_text("utf-8") != text]
    if stale:
        print(f"out of date: {', '.join(stale)}; run: uv run tools/diagrams.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
