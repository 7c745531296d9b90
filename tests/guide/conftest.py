from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guide.session import GuideSession, guide_session
from tests.support.http_backend import HttpBackend, running_backend


@pytest.fixture
def backend() -> Iterator[HttpBackend]:
    with running_backend() as backend:
        yield backend


@pytest.fixture
def session(tmp_path: Path) -> Iterator[GuideSession]:
    with guide_session(tmp_path) as session:
        yield session
