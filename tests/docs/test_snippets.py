"""Everything that the documentation shows is run.

Each page has a folder of its own. In the order of the page:

* a `python`, `yaml` or `toml` block whose first line is a comment with a file name is written to that file;
* any other `python` block is executed, all of a page in one namespace;
* a `yaml` block is validated: a workflow file, or what stands in one under `general.telemetry`;
* the commands of a `console` block (`$ …`) are run, and their output is compared: durations and ids may differ, as may the
  width of gaps; a line `...` stands for any lines, a `…` for any text;
* so is `nat run` in an `sh` block, with the `text` block that comes next;
* any other command in an `sh` block exists, with its options, files, packages and extras;
* a `text` block that begins with `NAME.yaml:` holds messages about the `yaml` block before it;
* a `json` or `toml` block is that.

Nothing else is allowed, but for what another test shows (`_SHOWN_ELSEWHERE`).

Commands with `uv run` are run from the repository root. What they trace goes to the page's folder all the same.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nat.data_models.errors import ConfigurationError
from nat.observability import Telemetry, step
from nat.observability.registry import default_registry
from nat.plugins.file.register import FileConfig
from nat.runtime.loader import load_workflow
from tests.docs import markdown, shell, shown
from tests.docs.markdown import ROOT, Block

_PAGES = list(markdown.pages())
_ADVANCED = "examples/observability/advanced_exporter/README.md"
_CLI = "docs/reference/cli.md"
_FILE = "docs/reference/configuration.md"
_PUBLISH = "docs/guide/publish-an-exporter.md"
_THIRD_PARTY = "examples/third_party_exporter/README.md"
_TREE = "docs/explain/architecture.md"
_SHOWN_ELSEWHERE = {
    ("docs/start.md", "$ nat run --config_file with_phoenix.yaml"): (
        "tests/products/test_start_page.py::test_the_trace_of_the_page_is_in_phoenix"
    ),
    (_ADVANCED, "$ uv run nat run"): "tests/examples/test_advanced_exporter.py::test_its_workflow_file_runs",
    (_ADVANCED, "$ uv run --directory"): "tests/examples/test_advanced_exporter.py::test_dead_letters_are_sent_again",
    (_THIRD_PARTY, "$ pip install .\n"): "tests/wheels/test_examples.py::test_the_third_partys_readme_is_as_it_says",
    (_THIRD_PARTY, "-- what users"): "tests/wheels/test_examples.py::test_the_third_partys_readme_is_as_it_says",
    (_THIRD_PARTY, '$ pip install ".[test]"'): "tests/wheels/test_examples.py::test_the_third_partys_own_tests_pass",
    (_PUBLISH, "$ "): "tests/wheels/test_publishing.py::test_an_exporter_is_published_as_the_guide_shows",
    (_PUBLISH, "async def export_processed"): (
        "tests/wheels/test_publishing.py::test_an_exporter_is_published_as_the_guide_shows"
    ),
    (_CLI, "4642 agent.py"): "tests/cli/test_status.py::test_the_reference_shows_what_is_printed",
    (
        _FILE,
        "mistaken.yaml:3:3",
    ): "tests/runtime/test_configuration_reference.py::test_messages_of_the_page_are_the_real_ones",
    ("docs/reference/testing.md", "$ nat exporter check"): (
        "tests/testing/test_check.py::test_a_new_package_is_stable"
    ),
    (_TREE, "accepted + recovered"): "tests/delivery/test_lane_machine.py",
    (_TREE, "pyproject.toml "): "tests/docs/test_architecture.py::test_the_tree_names_every_module",
    (_TREE, "cli → api"): "tests/docs/test_architecture.py::test_import_directions_are_those_of_the_layer_contract",
}
"""Text that no command of its page prints, by page and beginning, and the test that holds it against the truth."""
_BIN = Path(sys.executable).parent
_TIMEOUT_S = 180.0
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

    blocks = markdown.blocks(page)
    runner.write_modules(blocks)
    for block, following in zip_longest(blocks, blocks[1:]):
        runner.run(block, following)


def test_what_is_shown_elsewhere_is_shown() -> None:
    """The text is still on its page, and the test that is named is there."""
    for (page, beginning), test in _SHOWN_ELSEWHERE.items():
        file, _, name = test.partition("::")
        assert any(block.text.lstrip().startswith(beginning) for block in markdown.blocks(ROOT / page)), beginning
        assert f"def {name}" in (ROOT / file).read_text(encoding="utf-8")


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
        self._name = page.relative_to(ROOT).as_posix()
        self._folder = folder
        self._module = ModuleType("snippets")
        self._shell_command: str | None = None
        self._yaml = ""
        self._code = 0

    def write_modules(self, blocks: Sequence[Block]) -> None:
        """Python files, which a workflow file may name before the page shows them."""
        for block in blocks:
            if block.language == "python" and block.file is not None:
                self._write(block.file, block.text)

    def run(self, block: Block, following: Block | None) -> None:
        command, self._shell_command = self._shell_command, None
        if any(self._name == page and block.text.lstrip().startswith(text) for page, text in _SHOWN_ELSEWHERE):
            return
        match block.language:
            case "python" | "toml" if block.file is not None:
                self._write(block.file, block.text)
            case "yaml":
                self._yaml = block.text
                file = self._write(block.file or f"line_{block.line}.yaml", _as_file(block.text))
                if following is None or f"{block.file}:" not in following.text:  # with what is wrong with it
                    load_workflow(file, entrypoint="optional")
            case "python":
                # line numbers of the page, so that a traceback leads to it
                code = compile("\n" * (block.line - 1) + block.text, str(self._page), "exec")
                exec(code, self._namespace())
            case "console":
                self._run_console(block)
            case "sh" if "nat run" in block.text and following is not None and following.language == "text":
                self._shell_command = block.text.rpartition("&& ")[2].strip()
            case "sh":
                for line in block.text.splitlines():
                    shell.check(line)
            case "text" if command is not None:
                self._check(command, block.text, block.line)
            case "text" if (file_name := _file_of_messages(block)) is not None:
                self._check_messages(self._write(file_name, _as_file(self._yaml)), block.text)
            case "json":
                _check_json(block.text)
            case "toml":
                tomllib.loads(block.text)
            case language:
                raise AssertionError(
                    f"{self._name}:{block.line}: nothing tests this block of {language or 'no language'!r}"
                )

    def _write(self, name: str, text: str) -> Path:
        file = self._folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def _check_messages(self, file: Path, messages: str) -> None:
        """Each line is a problem of the file where the environment holds no keys."""
        for name in _KEYS_OF_VENDORS:
            os.environ.pop(name, None)
        with pytest.raises(ConfigurationError) as raised:
            load_workflow(file.name, entrypoint="optional")
        for name in _KEYS_OF_VENDORS:
            os.environ[name] = "key"

        said = [str(problem) for problem in raised.value.problems]
        assert [line for line in messages.splitlines() if line not in said] == [], said

    def _namespace(self) -> dict[str, Any]:
        sys.modules.setdefault("snippets", self._module)
        return vars(self._module)

    def _run_console(self, block: Block) -> None:
        for command, expected in shown.commands(block.text):
            self._check(command, expected, block.line)

    def _check(self, command: str, expected: str, line: int) -> None:
        stdout, stderr = self._run_command(command)
        assert shown.are_as_shown(stdout, stderr, expected), (
            f"{self._page.name}:{line}: $ {command}\nprinted\n{stdout}\nand\n{stderr}\ninstead of\n{expected}"
        )

    def _run_command(self, command: str) -> tuple[str, str]:
        """What it prints to stdout and to stderr."""
        if command == "echo $?":
            return f"{self._code}\n", ""
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
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
        self._code = done.returncode
        return done.stdout, done.stderr


def _check_json(text: str) -> None:
    """One value, or one a line."""
    try:
        json.loads(text)
    except json.JSONDecodeError:
        for line in text.splitlines():
            json.loads(line)


def _as_file(text: str) -> str:
    """A workflow file: the text itself, or around it what it leaves out."""
    if re.search(r"^(workflow|plugins|general):", text, re.MULTILINE):
        return text
    return "general:\n  telemetry:\n" + re.sub(r"^(?=.)", "    ", text, flags=re.MULTILINE)


def _file_of_messages(block: Block) -> str | None:
    named = re.match(r"([\w-]+\.yaml):\d+:\d+: ", block.text) if block.language == "text" else None
    return None if named is None else named[1]
