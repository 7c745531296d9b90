"""Packages that `nat exporter new` has written, as if they were installed."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

__all__ = ["install", "run_in"]

_BIN = Path(sys.executable).parent
_WAIT_S = 500


def install(folder: Path) -> None:
    """Metadata as an editable installation has it, beside the sources."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / "src" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    (info / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in found.items()) for group, found in groups
        )
    )


def run_in(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the workspace in a package's folder."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    return subprocess.run(
        [str(_BIN / program), *arguments],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=_WAIT_S,
    )
