"""The products, one of each for a whole session; and what they have printed, beside the report of a test that fails."""

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.products.mlflow import Mlflow, running_mlflow
from tests.products.phoenix import Phoenix, running_phoenix
from tests.products.rotel import Rotel, running_rotel
from tests.products.servers import Server
from tests.products.weave import Weave, running_weave


@pytest.fixture
def rotel() -> Iterator[Rotel]:
    """One for each test: it starts at once, and only one that has stopped has printed everything."""
    with running_rotel() as running:
        yield running


@pytest.fixture(scope="session")
def phoenix() -> Iterator[Phoenix]:
    """Lets everybody in; tests use projects of their own."""
    with running_phoenix() as running:
        yield running


@pytest.fixture(scope="session")
def guarded_phoenix() -> Iterator[Phoenix]:
    """Lets only those in who know its admin secret."""
    with running_phoenix(admin_secret="letOnlyMeIn2026" * 3) as running:
        yield running


@pytest.fixture(scope="session")
def mlflow() -> Iterator[Mlflow]:
    """Tests use experiments of their own."""
    with running_mlflow() as running:
        yield running


@pytest.fixture(scope="session")
def weave() -> Iterator[Weave]:
    """Tests use projects of their own."""
    with running_weave() as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for server in map(_server_of, item.funcargs.values()):
            if server is not None:
                report.sections.append((f"last lines of {server.name}", server.last_words()))
    return report


def _server_of(value: Any) -> Server | None:
    server = getattr(value, "server", None)
    return server if isinstance(server, Server) else None
