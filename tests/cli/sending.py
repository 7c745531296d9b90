"""A workflow in a folder of its own whose exporters post to a backend, and `nat` at work there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from nat.cli.main import cli
from nat.observability.registry import default_registry
from tests.cli.command import NAT
from tests.delivery.programs import EXPORTER

__all__ = ["Workplace", "workplace"]

_AGENT = """\
from nat.observability import step

def answer(question):
    with step("think", kind="llm", input=question):
        return "known"
"""

_AT_WORK = """\
import sys
from nat.observability import Telemetry

telemetry = Telemetry.from_file("workflow.yaml").start()
with telemetry.run("agent"):
    pass
print("written", flush=True)
sys.stdin.read()
"""


@contextmanager
def workplace(folder: Path) -> Iterator["Workplace"]:
    """One in that folder; what its workflow files register in this process is forgotten afterwards."""
    with default_registry.preserved():
        yield Workplace(folder)


class Workplace:
    """A folder with a workflow file, its agent and its exporters."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "workflow.yaml"
        (folder / "agent.py").write_text(_AGENT, encoding="utf-8")
        (folder / "sender.py").write_text(EXPORTER, encoding="utf-8")

    def write(
        self,
        exporters: Mapping[str, str | Mapping[str, Any]],
        delivery: Mapping[str, Any] | None = None,
        *,
        plugins: Sequence[str] = ("sender",),
    ) -> None:
        """A workflow file with exporters: by name a URL, or the whole entry."""
        tracing = {
            name: {"_type": "test_sender", "url": entry} if isinstance(entry, str) else entry
            for name, entry in exporters.items()
        }
        document = {
            "plugins": list(plugins),
            "workflow": {"entrypoint": "./agent.py:answer", "name": "agent"},
            "general": {"telemetry": {"delivery": delivery or {}, "tracing": tracing}},
        }
        self.file.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML

    @property
    def letters(self) -> list[Path]:
        """Files of dead letters in the usual place."""
        return sorted(self.folder.glob("state/nat/dead-letters/*/*.letter"))

    def nat(self, *arguments: object, code: int = 0) -> Result:
        """Run `nat` within this process; it must end with that exit code."""
        with chdir(self.folder):
            result = CliRunner().invoke(cli, list(map(str, arguments)), prog_name="nat", env=self._settings)
        assert result.exit_code == code, result.output
        return result

    def nat_process(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """Run `nat` in a process of its own; it must succeed."""
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=180)
        assert process.returncode == 0, stdout + stderr
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """Start `nat`, with its output at our end."""
        return self._start([NAT, *map(str, arguments)])

    @contextmanager
    def process_at_work(self) -> Iterator["subprocess.Popen[str]"]:
        """A process whose exporters have been given one run; with `spool.wait: run`, its span is on disk. Killed at the end."""
        process = self._start([sys.executable, "-c", _AT_WORK])
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "written\n"
            yield process
        finally:
            process.kill()
            process.communicate()

    def _start(self, command: list[str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, **self._settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def _settings(self) -> dict[str, str]:
        return {"XDG_STATE_HOME": str(self.folder / "state")}
