from collections.abc import Iterator

import pytest

from tests.support.fault_backend import FaultBackend, running_fault_backend


@pytest.fixture
def backend() -> Iterator[FaultBackend]:
    with running_fault_backend() as backend:
        yield backend
