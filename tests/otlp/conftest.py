from collections.abc import Iterator

import pytest

from nat.testing import FakeBackend


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend() as backend:
        yield backend


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies and OpenTelemetry's settings of whoever runs the tests have no effect on them."""
    import os

    for name in list(os.environ):
        if name.startswith("OTEL_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
