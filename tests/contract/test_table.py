import subprocess
import sys
from pathlib import Path

import pytest

from tools.contract_table import Section, Statement, build

ROOT = Path(__file__).resolve().parents[2]


def test_the_contract_table_is_up_to_date() -> None:
    """docs/reference/contract.md is what the marks in the tests say, and no statement is without a test or an issue."""
    result = subprocess.run(
        [sys.executable, "tools/contract_table.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stderr) == (0, "")


def test_a_mark_or_a_statement_that_leads_nowhere_is_refused() -> None:
    def sections() -> list[Section]:
        return [Section("All", {"S1": Statement("shown"), "S2": Statement("later", left_for=[4])})]

    text = build(sections(), iter([("S1", "tests/test_a.py::test_b")]))

    assert "| S1 | shown | `tests/test_a.py::test_b` |  |\n| S2 | later |  | issue 4 |\n" in text
    with pytest.raises(ValueError, match=r"tests/test_a\.py::test_b: there is no statement 'S9'"):
        build(sections(), iter([("S9", "tests/test_a.py::test_b")]))
    with pytest.raises(ValueError, match="neither a test nor an issue for: S1"):
        build(sections(), iter([]))


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
