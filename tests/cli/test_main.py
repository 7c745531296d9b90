"""The `nat` command itself: help, version, commands of other distributions, errors."""

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from nat.cli.main import cli
from tests.cli.command import NAT
from tests.cli.distributions import install


@pytest.fixture
def nat() -> CliRunner:
    return CliRunner()


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    logger = logging.getLogger("nat.observability")
    level = logger.level
    yield
    logger.setLevel(level)


GREETING = """
import click

@click.command()
@click.option("--loud_voice", is_flag=True)
def say_hello(loud_voice):
    '''Greets.'''
    click.echo("HELLO" if loud_voice else "hello")
"""


def test_version(nat: CliRunner) -> None:
    result = nat.invoke(cli, ["--version"])

    assert result.stdout == f"nat {version('nat-telemetry-core')}\n"
    assert result.exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [[], ["info"], ["info", "components"], ["info", "exporter"], ["run"], ["status"], ["validate"]],
)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_everywhere(nat: CliRunner, arguments: list[str], option: str) -> None:
    """Every command explains itself, with its options."""
    result = nat.invoke(cli, [*arguments, option])

    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")
    assert "-h, --help" in result.stdout


@pytest.mark.parametrize("option", ["--version", "-h"])
def test_start_up_imports_little(option: str) -> None:
    """Neither version nor help pays for what only other commands need."""
    code = f"""
import sys
from nat.cli.main import cli
cli.main([{option!r}], standalone_mode=False)
print(sys.modules.keys() & {{"asyncio", "orjson", "pydantic", "rich", "yaml"}})
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "set()"


def test_unknown_command_names_the_known_ones(nat: CliRunner) -> None:
    result = nat.invoke(cli, ["rum"])

    assert result.exit_code == 2
    assert result.stdout == ""
    assert (
        "no command 'rum', did you mean 'run'?; "
        "known: dead-letters, doctor, explain, exporter, info, run, spool, status, validate" in result.stderr
    )


def test_unknown_option_is_a_usage_error(nat: CliRunner) -> None:
    result = nat.invoke(cli, ["info", "components", "--typo"])

    assert result.exit_code == 2
    assert "--typo" in result.stderr


def test_a_command_of_another_distribution(nat: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An entry point in the group nat.cli is a command, with dashes and underscores alike."""
    install(monkeypatch, tmp_path, "greeter", code=GREETING, group="nat.cli", entry_point="say-hello")

    results = [nat.invoke(cli, arguments) for arguments in (["say-hello"], ["say_hello", "--loud-voice"])]

    assert [result.stdout for result in results] == ["hello\n", "HELLO\n"]
    assert re.search(r"say-hello +Command of greeter 1\.0\.", nat.invoke(cli, ["-h"]).stdout)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
        ("say = 3", "broken:say is 'int', expected a click command"),
    ],
)
def test_a_broken_command_stops_nothing_else(
    nat: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, reason: str
) -> None:
    """It is reported with its distribution when it is used, and only then."""
    install(monkeypatch, tmp_path, "broken", code=code, group="nat.cli", entry_point="say")

    used, listed, other = (nat.invoke(cli, arguments) for arguments in (["say"], ["-h"], ["info", "-h"]))

    assert used.exit_code == 1
    assert f"command 'say' of broken 1.0{' ' if 'cannot' in reason else ': '}{reason}" in used.stderr
    assert "Traceback" not in used.stderr
    assert listed.exit_code == other.exit_code == 0


def test_two_distributions_with_one_command(nat: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither is preferred; the error names both."""
    for name in ("one", "two"):
        install(monkeypatch, tmp_path / name, name, code=GREETING, group="nat.cli", entry_point="say_hello")

    result = nat.invoke(cli, ["say_hello"])

    assert result.exit_code == 2
    assert "one 1.0" in result.stderr
    assert "two 1.0" in result.stderr


FAILING = """
import click

@click.command()
def fail():
    raise LookupError("nothing there")
"""


@pytest.mark.parametrize("arguments", [["fail"], ["--debug", "fail"]])
def test_a_traceback_only_with_debug(
    nat: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    """What nobody expected is one message, and a traceback on request."""
    install(monkeypatch, tmp_path, "failing", code=FAILING, group="nat.cli", entry_point="fail")

    result = nat.invoke(cli, arguments)

    assert result.exit_code == 1
    assert "Error: LookupError: nothing there" in result.stderr
    assert ("Traceback" in result.stderr) == ("--debug" in arguments)


def test_output_into_a_closed_pipe_is_no_error() -> None:
    """`nat ... | head -1` leaves without a complaint."""
    done = subprocess.run(
        ["bash", "-c", f"{NAT} info components --json | head -c 1"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "["
    assert done.stderr == ""
