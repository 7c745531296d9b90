"""The page on moving quotes the figures of the benchmark as they are now."""

import re

from tests.docs import markdown

_PAGE = (markdown.ROOT / "docs/guide/from-nvidia.md").read_text(encoding="utf-8")
_FIGURES = (markdown.ROOT / "docs/explain/performance.md").read_text(encoding="utf-8")
_OURS, _THEIRS = "nat-telemetry, `push_intermediate_step`", "nvidia-nat-core"


def medians(table: str, participant: str) -> dict[str, float]:
    """The row of a participant in the table that begins so, by column."""
    head, _, body = _FIGURES.partition(f"| {table} |")[2].partition("\n")
    columns = [column.strip() for column in head.strip("| ").split("|")]
    row = re.search(rf"^\| {re.escape(participant)} \|(.*)", body, re.MULTILINE)
    assert row is not None
    values = [cell.split("(")[0].strip().replace(",", "") for cell in row[1].strip("| ").split("|")]
    return {column: float(value) for column, value in zip(columns, values, strict=True)}


def test_the_figures_are_those_of_the_benchmark() -> None:
    """Rounded to whole numbers; after a new measurement they have to be copied."""
    shown = re.findall(r"^\| .* \| ([\d,]+)(?: µs| ms)? \| ([\d,]+)(?: µs| ms)? \|$", _PAGE, re.MULTILINE)
    measured = [
        tuple(f"{medians(table, participant)[column]:,.0f}" for participant in (_OURS, _THEIRS))
        for table, column in (
            ("per span, (a)", "CPU on the agent's thread, µs"),
            ("per span, (a)", "total CPU, µs"),
            ("per span, (a)", "spans/s until acknowledged"),
            ("from the start of Python to ready", "ms"),
        )
    ]

    assert shown == measured
