"""`nat info`: what is installed and what can be set."""

import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from nat.cli.main import cli
from nat.observability.registry import default_registry
from tests.cli.command import NAT
from tests.cli.distributions import install
from tests.support.missing import INSTALL_COMMAND, forget_package

PLUGIN = """
from enum import Enum
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.telemetry_exporter import BatchConfigMixin, TelemetryExporterBaseConfig


class Size(Enum):
    SMALL = "small"
    BIG = "big"


class QueueConfig(TelemetryExporterBaseConfig, name="{type}"):
    '''Sends spans to a queue.'''

    endpoint: str = Field(description="Where the queue listens.")
    api_key: SecretStr = Field(description="Key of the queue.")
    size: Size = Size.SMALL
    folder: Path | None = None
    headers: dict[str, str] = Field(default_factory=lambda: {{"x-token": "geheim"}})
    tags: list[str] = Field(default_factory=list)
    share: float = Field(default=0.5, gt=0, le=1, description="Share of\\n    what there is.")
    password: str = "geheim"


@register_telemetry_exporter(config_type=QueueConfig)
async def {name}(config, builder):
    yield None
"""


@pytest.fixture
def nat() -> CliRunner:
    return CliRunner()


@pytest.fixture(autouse=True)
def _registry_as_before() -> Iterator[None]:
    with default_registry.preserved():
        yield


def install_queue(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: str = "nat-queue", type_name: str = "queue"
) -> None:
    code = PLUGIN.format(type=type_name, name=type_name)
    install(monkeypatch, folder, name, code=code, group="nat.components", entry_point=type_name)


def test_components_lists_our_own_and_others(nat: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Package, version, kind, type and description, in aligned columns that are never cut."""
    install_queue(monkeypatch, tmp_path)

    result = nat.invoke(cli, ["info", "components", "-t", "tracing"])

    lines = [line.split(maxsplit=4) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert lines[0] == ["package", "version", "kind", "type", "description"]
    assert ["nat-queue", "1.0", "tracing", "queue", "Sends spans to a queue."] in lines
    assert ["nat-telemetry-core", "tracing", "console"] in [[line[0], *line[2:4]] for line in lines[1:]]


def test_components_names_ours_that_are_missing_in_one_closing_line(
    nat: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_package(monkeypatch)

    result = nat.invoke(cli, ["info", "components"])

    last = result.stdout.splitlines()[-1]
    assert last.startswith("Not installed: ")
    assert f"pigeon ({INSTALL_COMMAND})" in last


def test_components_as_json(nat: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`--json` is a list of objects and nothing else; a plugin that does not load is in it with the reason."""
    install_queue(monkeypatch, tmp_path / "good")
    install(monkeypatch, tmp_path / "bad", "nat-bad", code="1 / 0", group="nat.components", entry_point="bad")

    result = nat.invoke(cli, ["info", "components", "--json", "-t", "tracing", "-t", "processing"])

    rows = {row["type"]: row for row in json.loads(result.stdout)}
    assert result.stderr == ""
    assert rows["queue"] == {
        "package": "nat-queue",
        "version": "1.0",
        "kind": "tracing",
        "type": "queue",
        "description": "Sends spans to a queue.",
        "loads": True,
        "reason": None,
    }
    assert rows["bad"]["loads"] is False
    assert rows["bad"]["reason"] == "ZeroDivisionError: division by zero"


def test_a_plugin_that_does_not_load_is_listed_with_the_reason(
    nat: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, "nat-bad", code="1 / 0", group="nat.components", entry_point="bad")

    result = nat.invoke(cli, ["info", "components"])

    assert result.exit_code == 0
    assert "does not load: ZeroDivisionError: division by zero" in result.stdout
    assert result.stderr == ""


def test_conflicting_plugins_are_listed_as_such(
    nat: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("nat-one", "nat-two"):
        install_queue(monkeypatch, tmp_path / name, name)

    result = nat.invoke(cli, ["info", "components"])

    assert result.stdout.count("in conflict: ") == 2


def test_unknown_kind_is_a_usage_error(nat: CliRunner) -> None:
    result = nat.invoke(cli, ["info", "components", "-t", "tracking"])

    assert result.exit_code == 2
    assert "'tracking' is not one of 'tracing', 'processing'" in result.stderr


def test_processors_are_a_kind_of_their_own(nat: CliRunner) -> None:
    result = nat.invoke(cli, ["info", "components", "--types", "processing", "--json"])

    rows = {row["type"]: row for row in json.loads(result.stdout)}
    assert {row["kind"] for row in rows.values()} == {"processing"}
    assert {"filter", "redact", "sample"} <= rows.keys()
    assert rows["redact"]["package"] == "nat-telemetry-core"
    assert rows["redact"]["description"] == "Takes secrets and personal data out of everything that an item holds."


def test_processor_shows_every_setting(nat: CliRunner) -> None:
    """As for an exporter, with the keys that an item of `processors:` takes, and an example of such a list."""
    result = nat.invoke(cli, ["info", "processor", "redact"])

    assert result.exit_code == 0
    assert "  profile: secrets | pii | none, default secrets\n" in result.stdout
    assert "  hash_key: text, never shown or null, default null\n" in result.stdout
    assert result.stdout.endswith(
        """\
Every processor entry also takes:
  enabled: true or false, default true. false leaves the entry out.
  timeout: number, more than 0, default 10. Seconds for one item; then the item is dropped.

Example:
  general:
    telemetry:
      processors:
      - _type: redact
        profile: secrets
"""
    )


def test_components_on_a_narrow_terminal_cuts_nothing() -> None:
    """On a terminal a drawn table; what does not fit is wrapped."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [NAT, "info", "components"],
        stdout=follower,
        env={**os.environ, "COLUMNS": "60", "TERM": "xterm"},
    ):
        os.close(follower)
        shown = _read_all(leader)

    assert "╭" in shown
    assert "…" not in shown


def test_exporter_shows_every_setting(nat: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fields with type, bounds, default and meaning; the toolkit's own keys apart; an example. No secret."""
    install_queue(monkeypatch, tmp_path)

    result = nat.invoke(cli, ["info", "exporter", "queue"])

    head, block, foot = re.split(r"(  delivery: .*?)(?=\nExample)", result.stdout, flags=re.DOTALL)
    assert result.exit_code == 0
    assert "    retry.multiplier: number, at least 1, default 1.5. Factor from one wait to the next.\n" in block
    assert (
        head + foot
        == """\
queue: Sends spans to a queue.
From nat-queue 1.0.

Settings:
  endpoint: text, required
      Where the queue listens.
  api_key: text, never shown, required
      Key of the queue.
  size: small | big, default small
  folder: path or null, default null
  headers: mapping of text to text, default set, not shown
  tags: list of text, default []
  share: number, more than 0, at most 1, default 0.5
      Share of what there is.
  password: text, default set, not shown

Every exporter entry also takes:
  enabled: true or false, default true. false leaves the entry out.
  required: true or false, default false. true: if the exporter cannot start, nothing does.
  processors: list of processors that its items pass first, each with _type; also under general.telemetry for all.
  when: mapping. Only items that are all of it are exported; as of processor filter.
  sample: number from 0 to 1, or a mapping as of processor sample. Which share of the runs is exported.
  redact: secrets, pii, none, or a mapping as of processor redact; default secrets. Also under general.telemetry for all.
  content: full, truncate:N, metadata, none, or a mapping as of processor content. Also under general.telemetry for all.
  conventions: names of its spans' attributes, where there is a choice: openinference, gen_ai or both, also gen_ai@0.1.0.

Example:
  general:
    telemetry:
      tracing:
        my_queue:
          _type: queue
          endpoint: https://example.com
          api_key: ${QUEUE_API_KEY}
"""
    )


def test_exporters_own_settings_come_before_shared_ones(nat: CliRunner) -> None:
    """And the example has the keys that the environment may give, too."""
    result = nat.invoke(cli, ["info", "exporter", "langfuse"])

    settings = re.findall(r"^  (\w+): ", result.stdout, flags=re.MULTILINE)
    assert settings[:6] == ["endpoint", "public_key", "secret_key", "environment", "release", "timeout"]
    assert result.stdout.endswith(
        """\
        my_langfuse:
          _type: langfuse
          public_key: ${LANGFUSE_PUBLIC_KEY}
          secret_key: ${LANGFUSE_SECRET_KEY}
"""
    )


def test_exporter_of_unknown_type_names_the_closest(nat: CliRunner) -> None:
    result = nat.invoke(cli, ["info", "exporter", "consol"])

    assert result.exit_code == 2
    assert "no exporter of type 'consol'" in result.stderr
    assert "did you mean 'console'?" in result.stderr


def test_exporter_of_ours_that_is_missing_gives_the_install_command(
    nat: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_package(monkeypatch)

    result = nat.invoke(cli, ["info", "exporter", "pigeon"])

    assert result.exit_code == 2
    assert INSTALL_COMMAND in result.stderr


def _read_all(leader: int) -> str:
    shown = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the other end is closed: Linux says so with EIO
            break
        if not chunk:
            break
        shown += chunk
    os.close(leader)
    return shown.decode()
