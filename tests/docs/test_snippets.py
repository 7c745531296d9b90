"""Everything that the documentation shows is run.

Each page has a folder of its own. In the order of the page:

* a `python`, `yaml` or `toml` block whose first line is a comment with a file name is written to that file;
* any other `python` block is executed, all of a page in one namespace;
* a `yaml` file is validated, if it is a workflow file as a whole;
* the commands of a `console` block (`$ …`) are run, and their output is compared: durations and ids may differ, as may the
  width of gaps; a line `...` stands for any lines, a `…` for any text;
* so is a `nat` command in an `sh` block, with the `text` block that comes next.

Commands with `uv run` are run from the repository root. What they trace goes to the page's folder all the same.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nat.observability import Telemetry, step
from nat.observability.registry import default_registry
from nat.plugins.file.register import FileConfig
from nat.runtime.loader import load_workflow
from tests.docs import markdown
from tests.docs.markdown import ROOT, Block

_PAGES = [
    ROOT / "README.md",
    ROOT / "docs/start.md",
    ROOT / "docs/guide/instrument.md",
    ROOT / "docs/guide/sampling.md",
    ROOT / "docs/guide/write-an-exporter.md",
    ROOT / "docs/guide/privacy.md",
    ROOT / "docs/guide/traces-do-not-arrive.md",
    ROOT / "docs/reference/testing.md",
    ROOT / "docs/backends/file.md",
    ROOT / "docs/backends/console.md",
    ROOT / "docs/backends/catalyst.md",
    ROOT / "docs/backends/galileo.md",
    ROOT / "docs/backends/langfuse.md",
    ROOT / "docs/backends/langsmith.md",
    ROOT / "docs/backends/otelcollector.md",
    ROOT / "docs/backends/patronus.md",
    ROOT / "docs/backends/phoenix.md",
    ROOT / "docs/backends/weave.md",
    ROOT / "examples/observability/quickstart/README.md",
    ROOT / "packages/catalyst/README.md",
    ROOT / "packages/core/README.md",
    ROOT / "packages/file/README.md",
    ROOT / "packages/galileo/README.md",
    ROOT / "packages/langfuse/README.md",
    ROOT / "packages/langsmith/README.md",
    ROOT / "packages/otlp/README.md",
    ROOT / "packages/patronus/README.md",
    ROOT / "packages/phoenix/README.md",
    ROOT / "packages/testing/README.md",
    ROOT / "packages/weave/README.md",
]
_SHOWN_ONLY = {"sh", "text", "toml", "json", ""}
_BIN = Path(sys.executable).parent
_TIMEOUT_S = 60
_KEYS_OF_VENDORS = (
    "CATALYST_ACCESS_KEY",
    "CATALYST_SECRET_KEY",
    "GALILEO_API_KEY",
    "LANGFUSE_PUBLIC_KEY",
    "LANGFUSE_SECRET_KEY",
    "LANGSMITH_API_KEY",
    "PATRONUS_API_KEY",
    "WANDB_API_KEY",
)
_TRACE_FILE_KEY = "general.telemetry.tracing.trace_file.output_path"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; what snippets import and register is forgotten afterwards."""
    modules, path = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    for name in _KEYS_OF_VENDORS:
        monkeypatch.setenv(name, "key")
    with default_registry.preserved():
        yield tmp_path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
    sys.path[:] = path


@pytest.mark.parametrize("page", _PAGES, ids=[page.relative_to(ROOT).as_posix() for page in _PAGES])
def test_a_page_does_what_it_says(page: Path, folder: Path) -> None:
    """Every block of the page runs, and prints what the page shows."""
    runner = _Page(page, folder)
    _record_traces(folder / "traces")

    for block in markdown.blocks(page):
        runner.run(block)


def test_every_page_with_code_is_run() -> None:
    """A page that shows Python code or a command line is among those that are run, or its own tests run it."""
    own_tests = set((ROOT / "docs/reference").glob("*.md"))

    with_code = {page for page in markdown.pages() if markdown.languages(page) & {"python", "console"}}

    assert with_code - own_tests <= set(_PAGES)


def _record_traces(folder: Path) -> None:
    """Files for pages that show how to read them."""
    spans = [FileConfig(output_path=str(folder / name), format="spans") for name in ("agent.jsonl", "runs.jsonl")]
    steps = FileConfig(output_path=str(folder / "steps.jsonl"))
    with Telemetry(*spans, steps) as telemetry, telemetry.run("recorded"), step("look_up", kind="tool"):
        pass


class _Page:
    """One page being run."""

    def __init__(self, page: Path, folder: Path) -> None:
        self._page = page
        self._folder = folder
        self._module = ModuleType("snippets")
        self._shell_command: str | None = None
        self._code = 0

    def run(self, block: Block) -> None:
        match block.language:
            case "python" | "yaml" | "toml" if block.file is not None:
                file = self._folder / block.file
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text, encoding="utf-8")
                if block.language == "yaml":
                    load_workflow(file)
            case "yaml":
                file = self._folder / f"line_{block.line}.yaml"
                file.write_text(block.text, encoding="utf-8")
                load_workflow(file, entrypoint="optional")
            case "python":
                # line numbers of the page, so that a traceback leads to it
                code = compile("\n" * (block.line - 1) + block.text, str(self._page), "exec")
                exec(code, self._namespace())
            case "console":
                self._run_console(block)
            case "sh" if "nat run" in block.text:
                self._shell_command = block.text.rpartition("&& ")[2].strip()
            case "text" if self._shell_command is not None:
                command, self._shell_command = self._shell_command, None
                self._check(command, block.text, block.line)
            case language:
                assert language in _SHOWN_ONLY, f"{self._page}:{block.line}: a block of {language!r} is not tested"

    def _namespace(self) -> dict[str, Any]:
        sys.modules.setdefault("snippets", self._module)
        return vars(self._module)

    def _run_console(self, block: Block) -> None:
        for command, expected in _commands(block.text):
            self._check(command, expected, block.line)

    def _check(self, command: str, expected: str, line: int) -> None:
        said = self._run_command(command)
        is_as_shown = re.fullmatch(_pattern(expected), _normal(said)) is not None
        assert is_as_shown, f"{self._page.name}:{line}: $ {command}\nprinted\n{said}\ninstead of\n{expected}"

    def _run_command(self, command: str) -> str:
        if command == "echo $?":
            return f"{self._code}\n"
        env = {**os.environ, "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "120", "PYTHONUTF8": "1"}
        is_from_clone = command.startswith("uv run ")
        if is_from_clone:
            trace_file = self._folder / "traces" / "clone.jsonl"
            command = f"{command.removeprefix('uv run ')} --override {_TRACE_FILE_KEY} {trace_file}"
        done = subprocess.run(
            command,
            check=False,
            shell=True,
            cwd=ROOT if is_from_clone else self._folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_S,
        )
        self._code = done.returncode
        return done.stdout


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a block, each with the output that is shown below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def _normal(text: str) -> str:
    text = re.sub(r"\b\d+(\.\d+)? ?(ms|s)\b", "1 ms", text)
    text = re.sub(r"\b[0-9a-f]{16,32}\b", "id", text)
    return "\n".join(re.sub(r" +", " ", line).rstrip() for line in text.strip().splitlines())


def _pattern(expected: str) -> str:
    lines = [
        r"(?:.*\n)*?" if line == "..." else f"{re.escape(line).replace('…', '.*?')}\n"
        for line in _normal(expected).splitlines()
    ]
    return "".join(lines).removesuffix("\n") + r"\n?"
