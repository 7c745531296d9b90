"""Tier one collects everything here but the folders of the other tiers, which run when they are named."""

import logging
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from nat.observability import manager
from tests.support.waiting import PATIENCE_S

# How long an example takes depends on what else the machine does.
settings.register_profile("nat", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("nat")

_OTHER_TIERS = tuple(Path(__file__).parent / name for name in ("products", "endurance"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path not in _OTHER_TIERS:
        return None
    named = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(collection_path) for path in named) else True


@pytest.fixture(autouse=True)
def _patient_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telemetry that is closed without a deadline has not ten seconds, but as long as a busy machine may take."""
    monkeypatch.setattr(manager, "SHUTDOWN_TIMEOUT_S", PATIENCE_S)


@pytest.fixture(autouse=True)
def _interpreter_as_it_was(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What loading workflow files and `--debug` leave in the process is taken back after each test."""
    logger = logging.getLogger("nat.observability")
    level, path, modules = logger.level, list(sys.path), set(sys.modules)
    yield
    logger.setLevel(level)
    sys.path[:] = path
    written_here = str(tmp_path_factory.getbasetemp())
    for name in set(sys.modules) - modules:
        its = getattr(sys.modules[name], "__dict__", {})  # looked at so, a lazy module stays unloaded
        places = [its.get("__file__"), *its.get("__path__", [])]
        if any(place and place.startswith(written_here) for place in places):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a file of the user's, its text without the indentation that it has in the test."""

    def write_file(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return file

    return write_file
