import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.contract_table import TABLE, Section, Statement, build

ROOT = Path(__file__).resolve().parents[2]


def test_the_contract_table_is_up_to_date() -> None:
    """docs/reference/contract.md is what the marks in the tests say, and no statement is without a test."""
    result = subprocess.run(
        [sys.executable, "tools/contract_table.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.contract("S188")
def test_no_statement_of_the_contract_is_left_out() -> None:
    """198 statements, 32 decisions and the 34 blocks of the guide, each once, and each with a row that names a test."""
    rows = re.findall(r"^\| ([SDB]\d+) \| .+ \| (.+) \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)

    expected = [*_numbers("S", 198), *_numbers("D", 32), *_numbers("B", 34)]
    assert sorted(number for number, _ in rows) == sorted(expected)
    assert [number for number, tests in rows if "`tests/" not in tests] == []


def test_a_mark_or_a_statement_that_leads_nowhere_is_refused() -> None:
    def sections() -> list[Section]:
        return [Section("All", {"S1": Statement("shown"), "S2": Statement("shown, too")})]

    shown = [("S1", "tests/test_a.py::test_b"), ("S2", "tests/test_a.py::test_c")]
    text = build(sections(), iter(shown))

    assert "| S1 | shown | `tests/test_a.py::test_b` |\n| S2 | shown, too | `tests/test_a.py::test_c` |\n" in text
    with pytest.raises(ValueError, match=r"tests/test_a\.py::test_b: there is no statement 'S9'"):
        build(sections(), iter([("S9", "tests/test_a.py::test_b")]))
    with pytest.raises(ValueError, match="no test shows: S2"):
        build(sections(), iter(shown[:1]))


def _numbers(letter: str, count: int) -> list[str]:
    return [f"{letter}{number}" for number in range(1, count + 1)]


@pytest.mark.contract("S186", "S187")
def test_every_exporter_of_ours_is_a_package_with_sources() -> None:
    registers = sorted((ROOT / "packages").glob("*/src/nat/plugins/*/register.py"))

    assert {path.parent.name for path in registers} >= {"console", "file"}
    for path in registers:
        assert (path.parents[4] / "pyproject.toml").is_file()


@pytest.mark.contract("S185")
def test_examples_hold_workflow_files_with_observability_settings() -> None:
    workflow_files = sorted((ROOT / "examples/observability").glob("*/workflow.yaml"))

    assert workflow_files
    for path in workflow_files:
        assert "tracing:" in path.read_text(encoding="utf-8")
