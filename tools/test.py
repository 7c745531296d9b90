"""Tests: one command for each tier.

    uv run tools/test.py                 lint, types, import directions, namespace, tests: no product
    uv run tools/test.py products        real servers and vendor clients
    uv run tools/test.py endurance       long outages, kills, millions of spans; --minutes says how long in all

All parts run, also after one that failed; the exit code is 0 only if none did. What follows `--` goes to pytest:

    uv run tools/test.py tests -- -k serializer
    uv run tools/test.py tests -- -n0 --randomly-seed=123 -x
"""

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_BIN = Path(sys.executable).parent
_NO_TESTS_COLLECTED = 5  # pytest's exit code

# Tests start hundreds of processes: each would compile the same modules again.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass(frozen=True, slots=True)
class Part:
    """One command of a tier; `is_shown` commands write as they run, the others only when they fail."""

    name: str
    command: Sequence[str]
    is_shown: bool = False
    may_be_empty: bool = False
    env: Mapping[str, str] = field(default_factory=dict)


def tests(pytest_arguments: Sequence[str]) -> list[Part]:
    """Tier one. Branch coverage of core and OTLP is measured, and judged against `fail_under` in pyproject.toml."""
    seed = random.SystemRandom().randrange(2**32)
    return [
        Part("ruff check", [_tool("ruff"), "check", "--output-format=concise"]),
        Part("ruff format", [_tool("ruff"), "format", "--check"]),
        Part("mypy", [_tool("mypy")]),
        Part("import directions", [_tool("lint-imports"), "--no-logo"]),
        Part("namespace", _script("check_namespace")),
        Part("mentions", _script("check_mentions")),
        Part("environments", _script("environments", "install", "--tier", "tests")),
        Part(
            "pytest",
            _pytest(
                *(f"--randomly-seed={seed}", "--numprocesses=2", "--dist=worksteal"),
                *("--cov", "--cov-report=term", *pytest_arguments),
            ),
            is_shown=True,
        ),
    ]


def products(pytest_arguments: Sequence[str]) -> list[Part]:
    """Tier two: what we send is read by the real thing. A file's tests share servers, so one worker takes them all."""
    return [
        Part("environments", _script("environments", "install", "--tier", "products")),
        Part(
            "pytest",
            _pytest("tests/products", "--numprocesses=2", "--dist=loadfile", *pytest_arguments),
            is_shown=True,
            may_be_empty=True,
        ),
    ]


def endurance(pytest_arguments: Sequence[str], minutes: float) -> list[Part]:
    """Tier three: what only time shows. The tests share `minutes` and have no timeout of their own."""
    return [
        Part("environments", _script("environments", "install", "--tier", "endurance")),
        Part(
            "pytest",
            _pytest("tests/endurance", "--timeout=0", *pytest_arguments),
            is_shown=True,
            may_be_empty=True,
            env={"NAT_ENDURANCE_MINUTES": str(minutes)},
        ),
    ]


def run(tier: str, parts: Sequence[Part]) -> bool:
    """Run all parts; whether all of them succeeded."""
    started = time.monotonic()
    failed = [part.name for part in parts if not _run(tier, part)]
    verdict = f"FAILED: {', '.join(failed)}" if failed else "all parts succeeded"
    print(f"{tier}: {verdict} ({time.monotonic() - started:.0f} s)", flush=True)
    return not failed


def _run(tier: str, part: Part) -> bool:
    started = time.monotonic()
    if part.is_shown:
        print(f"{part.name}: {' '.join(part.command[1:])}", flush=True)
    done = subprocess.run(
        part.command,
        cwd=ROOT,
        env={**_ENVIRONMENT, **part.env},
        stdin=subprocess.DEVNULL,
        stdout=None if part.is_shown else subprocess.PIPE,
        stderr=None if part.is_shown else subprocess.STDOUT,
        text=True,
        check=False,
    )
    is_empty = part.may_be_empty and done.returncode == _NO_TESTS_COLLECTED
    if done.returncode and not is_empty and done.stdout:
        print(done.stdout.rstrip())
    if is_empty:
        outcome = f"no {tier.removesuffix('s')} tests yet"
    else:
        outcome = "FAILED" if done.returncode else "ok"
    print(f"{part.name}: {outcome} ({time.monotonic() - started:.1f} s)", flush=True)
    return is_empty or done.returncode == 0


def _tool(name: str) -> str:
    return str(_BIN / name)


def _script(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "tools" / f"{name}.py"), *arguments]


def _pytest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", *arguments]


def main() -> int:
    parser = argparse.ArgumentParser(description="Run one tier of tests.", epilog="What follows -- goes to pytest.")
    parser.add_argument("tier", nargs="?", choices=("tests", "products", "endurance"), default="tests")
    parser.add_argument("--minutes", type=float, default=30.0, help="endurance: how long in all (default: %(default)s)")
    own, pytest_arguments = _split(sys.argv[1:])
    arguments = parser.parse_args(own)
    if arguments.tier == "endurance":
        parts = endurance(pytest_arguments, arguments.minutes)
    else:
        parts = (products if arguments.tier == "products" else tests)(pytest_arguments)
    return 0 if run(arguments.tier, parts) else 1


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    return arguments[:at], arguments[at + 1 :]


if __name__ == "__main__":
    raise SystemExit(main())
