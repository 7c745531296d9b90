"""Wheels: build the root project and every package, as sdists and as wheels made from them, without a network.

The build backend is the workspace's own (its `dev` group), so what is built here needs nothing but a synced workspace.

    uv run tools/build_wheels.py dist
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build_workspace(into: Path) -> list[Path]:
    """Build sdist and wheel of every project of the workspace; the wheels, sorted."""
    return _build(["--all-packages", str(ROOT)], into)


def build_project(project: Path, into: Path) -> list[Path]:
    """Build the wheel of one project, which need not belong to the workspace; all wheels now in `into`, sorted."""
    return _build(["--wheel", str(project)], into)


def _build(arguments: Sequence[str], into: Path) -> list[Path]:
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    command = [uv, "build", "--quiet", "--offline", "--no-build-isolation", "--python", sys.executable]
    done = subprocess.run(
        [*command, "--out-dir", str(into), *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: could not be built\n{done.stdout}{done.stderr}")
    return sorted(into.glob("*.whl"))


def main() -> int:
    parser = argparse.ArgumentParser(description="Build all distributions of the workspace.")
    parser.add_argument("into", type=Path, metavar="DIR", help="folder for sdists and wheels; made if it is missing")
    into = parser.parse_args().into
    build_workspace(into.resolve())
    for path in sorted(into.iterdir()):
        if path.suffix in {".whl", ".gz"}:
            print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
