"""A type of ours whose package is not installed, whatever is installed where the tests run."""

import pytest

from nat.observability.registry import OWN_TYPES, OwnType

__all__ = ["INSTALL_COMMAND", "MISSING", "forget_package"]

MISSING = OwnType("pigeon", "nat-telemetry-pigeon", "birds", "A pigeon, with a note on its leg")
INSTALL_COMMAND = 'pip install "nat-telemetry[birds]"'


def forget_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on there is a type `pigeon` of ours that is not installed."""
    monkeypatch.setitem(OWN_TYPES, MISSING.type, MISSING)
