"""Small programs, run in processes of their own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["nat_command", "run_script", "unmeasured"]


def run_script(
    source: str, folder: Path, *arguments: str, timeout_s: float = 180.0, env: Mapping[str, str] = os.environ
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, with `folder` as its working directory."""
    script = folder / "program.py"
    script.write_text(source, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env={**env, "PYTHONFAULTHANDLER": "1"},
    )


def unmeasured() -> dict[str, str]:
    """Environment variables for a program whose lines are not counted, which takes a program a multiple of its time."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


def nat_command() -> list[str]:
    """The installed `nat`."""
    return [str(Path(sys.executable).with_name("nat"))]
