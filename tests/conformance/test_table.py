"""The table of what has been checked is that of the tests that there are."""

import re

import pytest

from nat.testing.check import Report
from nat.testing.kit import KIT_VERSION, Level, Outcome
from tools.conformance_table import TABLE, build, count_of, our_classes

_ROW = re.compile(r"^\| `(\w+)` \| (.*?) \| `(\w+)` \| (\d+) \| (\d+) \| (.*?) \|$", re.MULTILINE)
_STALE = "docs/reference/conformance.md is stale; run: uv run tools/conformance_table.py"


def test_the_table_is_up_to_date() -> None:
    """A row for each test class, with as many tests as that has, by the kit's version."""
    text = TABLE.read_text(encoding="utf-8")
    rows = [
        (name, about, int(passed) + int(left_out) + sum(map(int, re.findall(r"(\d+) ", unshown))))
        for name, about, _, passed, left_out, unshown in _ROW.findall(text)
    ]

    expected = [(one.type, one.about, count_of(one)) for one in our_classes()]

    assert rows[: len(expected)] == expected, _STALE
    assert [name for name, _, _ in rows[len(expected) :]] == ["duckdb"], _STALE
    assert f"version {KIT_VERSION} of" in text, _STALE


def test_every_shipped_type_is_in_it() -> None:
    """And none is below beta."""
    from nat.observability.component import KINDS

    levels = {name: level for name, _, level, *_ in _ROW.findall(TABLE.read_text(encoding="utf-8"))}

    assert {name for kind in KINDS for name in kind.own} <= levels.keys()
    assert [name for name, level in levels.items() if not Level(level) >= Level.BETA] == []


def test_no_table_is_written_of_a_failure() -> None:
    with pytest.raises(ValueError, match="file: test_x: it broke"):
        build([Report("file", "", (Outcome("test_x", "failed", "it broke"),))])
