"""The inherited tests fail where they should, and say what is wrong."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nat.testing.conformance import ExporterConformance
from tests.conformance import faulty_exporters

_FAULTS = {name: fails for name, (_, fails) in faulty_exporters.FAULTS.items()}
_TESTS = sorted({test for fails in _FAULTS.values() for test in fails})


@pytest.mark.timeout(240)
def test_every_fault_is_found_and_named(tmp_path: Path) -> None:
    """Each of fifty faulty exporters fails its test in words that name the fault; without a fault it passes them all."""
    chosen = [f"TestSound::{test}" for test in _TESTS]
    chosen += [f"Test{name}::{test}" for name, fails in _FAULTS.items() for test in fails]
    with ThreadPoolExecutor(2) as processes:
        halves = processes.map(_ends_of, (tmp_path / "even.xml", tmp_path / "odd.xml"), (chosen[::2], chosen[1::2]))
        ends = {name: messages for half in halves for name, messages in half.items()}

    unnamed = {
        (name, test, words): ends[f"{name} {test}"]
        for name, fails in _FAULTS.items()
        for test, words in fails.items()
        if not any(words in message for message in ends[f"{name} {test}"])
    }
    assert unnamed == {}
    assert {test: ends[f"Sound {test}"] for test in _TESTS if ends[f"Sound {test}"]} == {}
    assert len(_FAULTS) == 50


def test_every_inherited_test_fails_for_some_fault() -> None:
    """None of them is there for show."""
    inherited = {name for name in dir(ExporterConformance) if name.startswith("test_")}

    assert inherited == {test.partition("[")[0] for test in _TESTS}


def _ends_of(report: Path, chosen: Sequence[str]) -> dict[str, list[str]]:
    """Messages with which these tests failed or were left out, by class and test; all run in one process."""
    file = Path(faulty_exporters.__file__)
    options = ["-q", "-n0", "-p", "no:randomly", "-p", "no:cacheprovider", f"--junitxml={report}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(f"{file}::{test}" for test in chosen)],
        capture_output=True,
        text=True,
        check=False,
        timeout=230,
        cwd=file.parents[2],
    )
    assert report.exists(), done.stdout + done.stderr
    ends: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.Test')[2]} {case.get('name', '')}"
        ends.setdefault(name, []).extend(
            end.get("message", "") for end in (*case.iter("failure"), *case.iter("skipped"))
        )
    return ends
