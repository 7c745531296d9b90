from collections.abc import Iterator

import pytest

from tests.support.http_backend import HttpBackend, running_backend


@pytest.fixture
def backend() -> Iterator[HttpBackend]:
    with running_backend() as backend:
        yield backend
