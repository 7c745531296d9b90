"""A clean virtual environment, used as its owner would: by running its commands."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_OURS = ("COV_", "COVERAGE_", "NAT_", "PYTEST_", "PYTHON", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class CleanEnvironment:
    """A virtual environment that holds nothing of the workspace."""

    path: Path

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    def run(self, program: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment, without input and with nothing of ours in its environment variables."""
        return run_alone([str(self.path / "bin" / program), *arguments], cwd=cwd)


def run_alone(command: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
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
        timeout=60,
    )
