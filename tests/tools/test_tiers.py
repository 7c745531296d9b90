"""The command that runs a tier: every part runs, and its exit code tells whether all succeeded."""

import sys

import pytest

from tools.test import Part, run


def part(name: str, code: str, *, may_be_empty: bool = False) -> Part:
    return Part(name, [sys.executable, "-c", code], may_be_empty=may_be_empty)


def test_all_parts_run_after_one_that_failed(capfd: pytest.CaptureFixture[str]) -> None:
    """What a failed part wrote is shown; what the others wrote is not."""
    succeeded = run("tests", [part("first", "print('why'); raise SystemExit(3)"), part("second", "print('chatter')")])

    assert not succeeded
    shown = capfd.readouterr().out
    assert "why\nfirst: FAILED" in shown
    assert "second: ok" in shown
    assert "chatter" not in shown
    assert "tests: FAILED: first (" in shown


def test_tier_without_tests_says_so_and_succeeds(capfd: pytest.CaptureFixture[str]) -> None:
    """pytest ends with 5 when it found no test."""
    assert run("products", [part("pytest", "raise SystemExit(5)", may_be_empty=True)])
    assert "pytest: no product tests yet (" in capfd.readouterr().out


def test_tier_one_without_tests_fails() -> None:
    assert not run("tests", [part("pytest", "raise SystemExit(5)")])
