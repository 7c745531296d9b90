"""The inherited tests fail where they should, and say what is wrong."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.conformance import faulty_exporters

_EXPECTED = [
    (name, test, words) for name, (_, fails) in faulty_exporters.FAULTS.items() for test, words in fails.items()
]


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Messages of all failures, by class and test; of the tests only that must fail."""
    report = tmp_path_factory.mktemp("faulty") / "report.xml"
    file = Path(faulty_exporters.__file__)
    chosen = [f"{file}::Test{name}::{test}" for name, test, _ in _EXPECTED]
    options = ["-q", "-n0", "-p", "no:randomly", "-p", "no:cacheprovider", f"--junitxml={report}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *chosen],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        cwd=file.parents[2],
    )
    assert report.exists(), done.stdout + done.stderr
    found: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.Test')[2]} {case.get('name', '')}"
        found.setdefault(name, []).extend(failure.get("message", "") for failure in case.iter("failure"))
    return found


@pytest.mark.parametrize(("name", "test", "words"), _EXPECTED, ids=[f"{name}-{test}" for name, test, _ in _EXPECTED])
def test_a_fault_is_found_and_named(name: str, test: str, words: str, failures: dict[str, list[str]]) -> None:
    messages = failures[f"{name} {test}"]

    assert any(words in message for message in messages), f"{name} did not fail with {words!r} but with {messages}"
