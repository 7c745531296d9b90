"""A clean virtual environment, used as its owner would: by running its commands."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import environments

Once = Callable[[str, Callable[[Path], object]], Path]
"""Makes a folder under a name, once, and gives it."""

_OURS = ("COV_", "COVERAGE_", "NAT_", "PYTEST_", "PYTHON", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class CleanEnvironment:
    """A virtual environment that holds nothing of the workspace."""

    path: Path

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    def run(
        self, program: str, *arguments: str, cwd: Path | None = None, timeout_s: float = 180.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment, without input and with nothing of ours in its environment variables."""
        return run_alone([str(self.path / "bin" / program), *arguments], cwd=cwd, timeout_s=timeout_s)


def run_alone(
    command: Sequence[str], cwd: Path | None = None, timeout_s: float = 180.0
) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing of this test session in its environment variables."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return subprocess.run(
        command,
        cwd=cwd,
        env={**inherited, "COLUMNS": "400"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def install_into(path: Path, requirements: list[str], folders: list[Path]) -> None:
    """Make a virtual environment with these requirements, from wheels in these folders and those of the wheelhouse."""
    uv = environments.uv()
    found = [environments.installed("wheels").wheelhouse, *folders]
    _run(uv, "venv", "--quiet", "--python", sys.executable, str(path))
    _run(
        *(uv, "pip", "install", "--quiet", "--python", str(CleanEnvironment(path).python)),
        *("--offline", "--no-index", "--no-cache", *(f"--find-links={folder}" for folder in found)),
        *requirements,
    )


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
