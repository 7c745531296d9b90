import os
from collections.abc import Iterator

import pytest

from tests.support.catalyst import CatalystStandIn, catalyst_stand_in


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OTEL_", "CATALYST_", "RAGAAI_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def served() -> Iterator[tuple[CatalystStandIn, str]]:
    with catalyst_stand_in() as served:
        yield served


@pytest.fixture
def stand_in(served: tuple[CatalystStandIn, str]) -> CatalystStandIn:
    return served[0]


@pytest.fixture
def url(served: tuple[CatalystStandIn, str]) -> str:
    return served[1]
