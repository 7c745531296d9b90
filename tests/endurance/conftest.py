"""How long endurance tests may take, as `tools/test.py endurance --minutes` says."""

import os

import pytest


@pytest.fixture(scope="session")
def seconds_per_test(request: pytest.FixtureRequest) -> float:
    """The share of the time that each test has."""
    minutes = float(os.environ.get("NAT_ENDURANCE_MINUTES", "1"))
    return minutes * 60 / max(1, len(request.session.items))
