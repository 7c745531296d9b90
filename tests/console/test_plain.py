"""What the console exporter writes to a stream that is no terminal."""

import io
import sys
from pathlib import Path

import pytest

from nat.plugins.console.exporter import ConsoleExporter
from tests.console.steps import ERROR, FAILED_RUN, FAILED_TREE, draw, step, tokens


async def test_a_run_is_printed_as_a_tree(capsys: pytest.CaptureFixture[str]) -> None:
    """Each step is a line below its parent with duration, tokens and error; an error is shown where it began."""
    await draw(FAILED_RUN, ConsoleExporter())

    out, err = capsys.readouterr()
    assert err == FAILED_TREE
    assert out == ""


async def test_stream_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """`stream: stdout` draws there and nowhere else."""
    await draw(FAILED_RUN, ConsoleExporter(stream="stdout"))

    out, err = capsys.readouterr()
    assert out == FAILED_TREE
    assert err == ""


async def test_prefix_is_in_front_of_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    """`prefix` stands before each line."""
    await draw(FAILED_RUN, ConsoleExporter(prefix="[APP]"))

    assert capsys.readouterr().err == "".join(f"[APP] {line}\n" for line in FAILED_TREE.splitlines())


async def test_content_is_shown_on_request_on_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    """`max_content_chars` shows input and output, cut to that length."""
    await draw(FAILED_RUN, ConsoleExporter(max_content_chars=18))

    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "│  input: How do I install …"
    assert lines[4:6] == ['   │     input: [{"role":"user"}]', "   │     output: Read"]


async def test_color_always_colours_a_file_too(capsys: pytest.CaptureFixture[str]) -> None:
    """`color: always` writes ANSI codes where there is no terminal."""
    await draw(FAILED_RUN, ConsoleExporter(color="always"))

    assert "\x1b[1;31m✗\x1b[0m" in capsys.readouterr().err


async def test_ascii_where_the_encoding_has_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that cannot show the signs gets ASCII ones, and names in escapes."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(written, encoding="ascii"))

    await draw(
        [
            step("WORKFLOW_START", "w", name="façade"),
            step("LLM_START", "l", "w", name="m"),
            step("LLM_END", "l", "w", name="m", usage_info=tokens(3, 4)),
            step("WORKFLOW_END", "w", name="façade"),
        ],
        ConsoleExporter(),
    )

    assert written.getvalue().decode() == (
        "+ workflow fa\\xe7ade  0.0 ms  1 model call  3 -> 4 tokens\n`-- + llm m           0.0 ms  3 -> 4 tokens\n"
    )


async def test_steps_that_never_end_are_said_to(capsys: pytest.CaptureFixture[str]) -> None:
    """What is open when the run ends is drawn and marked."""
    await draw(
        [
            step("WORKFLOW_START", "w", name="hangs"),
            step("TOOL_START", "t", "w", name="stuck"),
            step("WORKFLOW_END", "w", name="hangs", at=2.0, metadata=ERROR),
        ],
        ConsoleExporter(),
    )

    assert capsys.readouterr().err == (
        "✗ workflow hangs  2.00 s\n│  ValueError: no page 'x'\n└─ ! tool stuck           never ended\n"
    )


async def test_odd_steps_are_drawn_as_well_as_can_be(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown parent, an END without START, chunks alone, no name and control characters break nothing."""
    await draw(
        [
            step("TOOL_END", "t", "lost", name="late", at=5.0, span_event_timestamp=1_000_002.0),
            step("LLM_NEW_TOKEN", "c", chunk="x"),
            step("FUNCTION_START", "f"),
            step("TOOL_START", "g", "f", name="\x1b[31mred\nline\ud800", at=0.5),
            step("TOOL_END", "g", "f", name="\x1b[31mred\nline\ud800", at=80.0),
            step("FUNCTION_END", "f", at=7380.0),
            step("FUNCTION_END", "f", at=7380.0),
        ],
        ConsoleExporter(),
    )

    assert capsys.readouterr().err == (
        "✓ tool late  3.00 s  parent not seen\n"
        "✓ function                        2 h 03 min\n"
        "└─ ✓ tool \\x1b[31mred line\\ud800  1 min 20 s\n"
        "✓ function  0.0 ms\n"
        "! llm    never ended  1 chunk, first after 0.0 ms\n"
    )


async def test_a_deep_tree_stays_readable(capsys: pytest.CaptureFixture[str]) -> None:
    """Beyond some depth the guides grow no more, the depth is said instead."""
    depth = 2_000
    steps = [step("FUNCTION_START", str(n), str(n - 1) if n else "root", name=f"f{n}") for n in range(depth)]
    ends = [step("FUNCTION_END", str(n), str(n - 1) if n else "root", name=f"f{n}") for n in reversed(range(depth))]

    await draw([*steps, *ends], ConsoleExporter())

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == depth
    assert lines[-1].strip().startswith("…1999 ✓ function f1999")
    assert max(map(len, lines)) < 200


async def test_a_closed_stream_breaks_nothing_and_is_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """When the stream cannot be written, export fails for good and says why; the program goes on."""
    from nat.observability.delivery.errors import PermanentExportError

    stream = (tmp_path / "gone").open("w")
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    exporter = ConsoleExporter()

    with pytest.raises(PermanentExportError, match=r"console: cannot be written: ValueError: I/O operation on closed"):
        await exporter.export_processed(step("TOOL_END", "t"))
    with pytest.raises(PermanentExportError):
        await exporter.export_processed(step("TOOL_END", "u"))


async def test_no_stream_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without stderr loses the drawing only."""
    monkeypatch.setattr(sys, "stderr", None)

    await draw(FAILED_RUN, ConsoleExporter())
