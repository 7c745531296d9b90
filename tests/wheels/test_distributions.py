"""What is built: an empty root, complete and typed packages, a small base install that loads nothing heavy."""

import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.wheels.clean import CleanEnvironment, run_alone
from tools.build_wheels import ROOT
from tools.check_namespace import problems_in_tree, problems_in_wheels

PACKAGES = sorted(f"nat-telemetry-{path.parent.name}" for path in ROOT.glob("packages/*/pyproject.toml"))

_SCRIPT = Path(__file__).parent / "contract_imports.py"


def test_every_project_has_an_sdist_and_a_wheel(dist: Path) -> None:
    projects = {name.replace("-", "_") for name in ("nat-telemetry", *PACKAGES)}

    assert {path.name.split("-")[0] for path in dist.glob("*.whl")} == projects
    assert {path.name.rsplit("-", 1)[0] for path in dist.glob("*.tar.gz")} == projects


def test_root_distribution_has_no_code(dist: Path) -> None:
    """The root project only depends: nothing in its wheel but metadata, no module in its sdist."""
    (wheel,) = dist.glob("nat_telemetry-*.whl")
    (sdist,) = dist.glob("nat_telemetry-*.tar.gz")

    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if ".dist-info/" not in name] == []
    with tarfile.open(sdist) as source:
        assert [name for name in source.getnames() if name.endswith(".py")] == []


def test_namespace_stays_open_and_packages_are_typed(dist: Path) -> None:
    assert problems_in_tree() == []
    assert problems_in_wheels(dist) == []


def test_every_wheel_carries_the_licence(dist: Path) -> None:
    licence = (ROOT / "LICENSE").read_bytes()

    for wheel in dist.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
            assert archive.read(name) == licence


@pytest.mark.parametrize("package", PACKAGES)
def test_package_installs_from_its_wheel_alone(package: str, install: Callable[[str], CleanEnvironment]) -> None:
    """One requirement brings a working command line, whatever the package."""
    environment = install(package)

    version = environment.run("nat", "--version")

    assert version.stderr == ""
    assert version.returncode == 0


def test_the_testing_package_brings_its_recorded_runs(install: Callable[[str], CleanEnvironment]) -> None:
    environment = install("nat-telemetry-testing")

    told = environment.run(
        "python", "-c", "from nat.testing import recorded_runs; print([run.id for run in recorded_runs()])"
    )

    assert told.stderr == ""
    assert told.stdout.count("'") == 20


def test_a_command_says_which_package_it_comes_with(base: CleanEnvironment) -> None:
    """`nat exporter` is in another one, which `nat -h` says, too."""
    used = base.run("nat", "exporter", "new", "acme")
    listed = base.run("nat", "-h")

    assert used.returncode == 2
    assert used.stderr == (
        "Error: command 'exporter' comes with nat-telemetry-testing, which is not installed; "
        "pip install nat-telemetry-testing\n"
    )
    assert "Comes with nat-telemetry-testing." in re.sub(r"\s+", " ", listed.stdout).replace(
        "nat- telemetry", "nat-telemetry"
    )


def test_base_install_is_small(base: CleanEnvironment) -> None:
    """Core and file bring at most 13 distributions beside our own."""
    listing = "import importlib.metadata as m, json; print(json.dumps([d.name for d in m.distributions()]))"

    installed = set(json.loads(base.run("python", "-c", listing).stdout))

    assert installed >= {"nat-telemetry-core", "nat-telemetry-file"}
    assert len(installed - {"nat-telemetry-core", "nat-telemetry-file"}) <= 13


def test_contract_imports_work_in_the_base_install(base: CleanEnvironment) -> None:
    """Rows 1 to 14 need only core and file, and ask for nothing heavy, not even to see whether it is there."""
    imported = base.run("python", str(_SCRIPT))

    assert imported.stderr == ""
    assert imported.stdout == ""


def test_contract_imports_leave_installed_clients_alone() -> None:
    """Rows 1 to 14 load no HTTP client where there is one: the workspace has aiohttp."""
    imported = run_alone([sys.executable, str(_SCRIPT)])

    assert imported.stderr == ""
    assert imported.stdout == ""
