"""Built distributions and clean virtual environments: made once, whatever the number of workers."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from tests.wheels.clean import CleanEnvironment, Once, install_into
from tools.build_wheels import build_project, build_workspace

_FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Once:
    """Make a folder under a name: the first worker that asks makes it, the others wait and get the same one."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        folder = shared / name
        is_made = shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not is_made.exists():
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                is_made.touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def dist(once: Once) -> Path:
    """Folder with sdist and wheel of every project of the workspace."""
    return once("dist", build_workspace)


@pytest.fixture(scope="session")
def published(once: Once) -> Path:
    """Folder with the wheels that others published: the fixture packages."""

    def build(into: Path) -> None:
        for project in sorted(path.parent for path in _FIXTURES.glob("*/pyproject.toml")):
            build_project(project, into)

    return once("published", build)


@pytest.fixture(scope="session")
def base(once: Once, dist: Path) -> CleanEnvironment:
    """A clean environment with only the wheels of core and file, and what they need."""
    return CleanEnvironment(
        once("base", lambda path: install_into(path, ["nat-telemetry-core", "nat-telemetry-file"], [dist]))
    )


@pytest.fixture(scope="session")
def with_plugins(once: Once, dist: Path, published: Path) -> CleanEnvironment:
    """A clean environment with `nat-telemetry` and all packages that others published, the bad ones too."""
    wheels = [str(wheel) for wheel in sorted(published.glob("*.whl"))]
    return CleanEnvironment(once("with_plugins", lambda path: install_into(path, ["nat-telemetry", *wheels], [dist])))


@pytest.fixture
def install(tmp_path: Path, dist: Path) -> Callable[[str], CleanEnvironment]:
    """Install one of our distributions into a clean environment of its own."""

    def install_one(requirement: str) -> CleanEnvironment:
        path = tmp_path / "environment"
        install_into(path, [requirement], [dist])
        return CleanEnvironment(path)

    return install_one
