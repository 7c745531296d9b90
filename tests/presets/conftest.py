import os

import pytest

_VENDORS = ("GALILEO_", "LANGFUSE_", "LANGSMITH_", "LANGCHAIN_", "PATRONUS_", "OTEL_")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vendors' variables and proxies of whoever runs the tests have no effect on them."""
    for name in list(os.environ):
        if name.startswith(_VENDORS) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
