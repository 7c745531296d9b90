"""What pytest finds by itself once this package is installed: fixtures. They import what they need when they are used."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nat.testing.backend import FakeBackend
    from nat.testing.in_memory import Recording

__all__ = ["nat_backend", "nat_recording"]


@pytest.fixture
def nat_recording() -> Iterator["Recording"]:
    """Records what the agent does in this test: see `nat.testing.Recording`."""
    from nat.testing.in_memory import Recording

    with Recording() as recording:
        yield recording


@pytest.fixture
def nat_backend() -> Iterator["FakeBackend"]:
    """A backend for this test, at a port of its own: see `nat.testing.FakeBackend`."""
    from nat.testing.backend import FakeBackend

    with FakeBackend() as backend:
        yield backend
