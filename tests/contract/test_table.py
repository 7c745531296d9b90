import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_contract_table_is_up_to_date() -> None:
    """docs/reference/contract.md is what the marks in the tests say, and no statement is without a test or an issue."""
    result = subprocess.run(
        [sys.executable, "tools/contract_table.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stderr) == (0, "")


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
