"""Environments: install what tests need beside the workspace, beforehand, so that no test downloads anything.

Each folder of `tools/environments/` is one environment: a `pyproject.toml` that says what is in it, with its own
`uv.lock`. It is installed as a virtual environment into `.environments/<name>`, compiled to bytecode: a server that has to
compile what it imports takes twice as long to start. In its `[tool.environment]` table, `tier` names the tier of tests
that needs it, and `wheelhouse = true` also keeps every locked distribution as a wheel in
`.environments/<name>/wheelhouse`, for tests that install packages without a network.

    uv run tools/environments.py list
    uv run tools/environments.py install wheels
    uv run tools/environments.py install --tier tests
"""

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TIERS = ("tests", "products", "endurance", "benchmarks")

_DEFINITIONS = ROOT / "tools" / "environments"
_INSTALLED = ROOT / ".environments"


@dataclass(frozen=True, slots=True)
class Environment:
    """One locked environment: where it is defined, what needs it, and where it is installed."""

    name: str
    description: str
    tier: str
    has_wheelhouse: bool
    local_sources: tuple[Path, ...]

    @property
    def definition(self) -> Path:
        return _DEFINITIONS / self.name

    @property
    def path(self) -> Path:
        return _INSTALLED / self.name

    @property
    def python(self) -> Path:
        return self.path / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def wheelhouse(self) -> Path:
        return self.path / "wheelhouse"

    @property
    def is_installed(self) -> bool:
        stamp = self.path / ".installed"
        return stamp.is_file() and stamp.read_text() == self._digest()

    def install(self) -> None:
        """Install what the lock says, unless that is what is there already."""
        if self.is_installed:
            return
        if self.path.exists():
            shutil.rmtree(self.path)
        project = ("--project", str(self.definition))
        _uv(
            *("sync", "--locked", "--no-install-local", "--compile-bytecode", "--quiet"),
            *("--python", sys.executable, *project),
            env={"UV_PROJECT_ENVIRONMENT": str(self.path)},
        )
        if self.has_wheelhouse:
            self._fill_wheelhouse(project)
        (self.path / ".installed").write_text(self._digest())

    def _fill_wheelhouse(self, project: tuple[str, str]) -> None:
        requirements = self.path / "requirements.txt"
        _uv("export", "--frozen", "--no-emit-local", "--quiet", "--output-file", str(requirements), *project)
        subprocess.run(
            [
                *(str(self.python), "-m", "pip", "download", "-qq", "--disable-pip-version-check"),
                *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
                *("--requirement", str(requirements), "--dest", str(self.wheelhouse)),
            ],
            check=True,
        )

    def _digest(self) -> str:
        inputs = [self.definition / "pyproject.toml", self.definition / "uv.lock"]
        inputs += [source / "pyproject.toml" for source in self.local_sources]
        content = b"\0".join(path.read_bytes() for path in inputs)
        return hashlib.sha256(content + platform.python_version().encode()).hexdigest()


def environments() -> dict[str, Environment]:
    """All environments that are defined, by name."""
    return {path.parent.name: _read(path) for path in sorted(_DEFINITIONS.glob("*/pyproject.toml"))}


def installed(name: str) -> Environment:
    """The environment of that name.

    Raises:
        RuntimeError: It is not installed, or its lock has changed since.
    """
    environment = environments()[name]
    if not environment.is_installed:
        raise RuntimeError(
            f"environment {name!r} is not installed as locked; run: uv run tools/environments.py install {name}"
        )
    return environment


def uv() -> str:
    """Path of the uv command.

    Raises:
        RuntimeError: There is none.
    """
    path = os.environ.get("UV") or shutil.which("uv")
    if path is None:
        raise RuntimeError("uv is not on the PATH; run: pip install uv")
    return path


def _read(pyproject: Path) -> Environment:
    content = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    settings: dict[str, Any] = content["tool"]["environment"]
    if settings["tier"] not in TIERS:
        raise ValueError(f"{pyproject}: tier must be one of {', '.join(TIERS)}, got {settings['tier']!r}")
    sources: dict[str, dict[str, Any]] = content["tool"].get("uv", {}).get("sources", {})
    return Environment(
        name=pyproject.parent.name,
        description=content["project"]["description"],
        tier=settings["tier"],
        has_wheelhouse=settings.get("wheelhouse", False),
        local_sources=tuple(pyproject.parent / source["path"] for source in sources.values() if "path" in source),
    )


def _uv(*arguments: str, env: dict[str, str] | None = None) -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run([uv(), *arguments], check=True, env=inherited | (env or {}))


def _list() -> None:
    for environment in environments().values():
        state = "installed" if environment.is_installed else "not installed"
        print(f"{environment.name} ({environment.tier}, {state}): {environment.description}")


def _install(names: Sequence[str], tier: str | None) -> int:
    known = environments()
    if unknown := [name for name in names if name not in known]:
        print(f"no environment named {', '.join(unknown)}; defined: {', '.join(known)}", file=sys.stderr)
        return 2
    chosen = [known[name] for name in names] or [one for one in known.values() if one.tier == tier]
    for environment in chosen:
        try:
            environment.install()
        except subprocess.CalledProcessError as error:
            print(f"{environment.name}: {error}", file=sys.stderr)
            return 1
        print(f"{environment.name}: installed")
    if not chosen:
        print(f"no environments for {tier}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Install the locked environments that tests need.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the environments and say which are installed")
    install = commands.add_parser("install", help="install environments by name, or all that a tier needs")
    chosen = install.add_mutually_exclusive_group(required=True)
    chosen.add_argument("names", nargs="*", default=[], metavar="NAME")
    chosen.add_argument("--tier", choices=TIERS)
    arguments = parser.parse_args()
    if arguments.command == "list":
        _list()
        return 0
    return _install(arguments.names, arguments.tier)


if __name__ == "__main__":
    raise SystemExit(main())
