"""Small programs, run in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["nat_command", "run_script"]


def run_script(source: str, folder: Path, *arguments: str, timeout_s: float = 60) -> "subprocess.CompletedProcess[str]":
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
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},
    )


def nat_command() -> list[str]:
    """The installed `nat`."""
    return [str(Path(sys.executable).with_name("nat"))]
