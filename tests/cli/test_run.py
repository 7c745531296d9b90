"""`nat run` and `nat validate`: results, failures, interruption, exit codes, and what goes where."""

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from nat.cli.main import cli
from nat.observability.registry import default_registry
from tests.cli.command import NAT
from tests.support.missing import INSTALL_COMMAND, forget_package
from tests.support.waiting import wait_for

AGENT = """
import asyncio, os, signal, threading, time
from pathlib import Path
from nat.observability import step

async def answer(question):
    with step("plan", kind="llm", input=question) as llm:
        llm.usage(prompt_tokens=12, completion_tokens=3)
    if question == "fail":
        raise LookupError("no such page")
    return f"about {question}" if isinstance(question, str) else question

def stream(question):
    yield "one, "
    yield "two"

def nothing(question):
    return None

def unfinished(question):
    step("stuck", kind="tool").__enter__()
    return "done"

async def leaves_a_thread(question):
    threading.Thread(target=time.sleep, args=(600,), name="left-behind").start()
    return "done"

def _started():
    Path("started").touch()

async def waits(question):
    with step("wait", kind="tool"):
        _started()
        await asyncio.sleep(600)

def waits_in_a_thread(question):
    with step("wait", kind="tool"):
        _started()
        time.sleep(600)

async def blocks_the_loop(question):
    with step("wait", kind="tool"):
        _started()
        time.sleep(600)

async def blocks_deaf(question):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
    with step("wait", kind="tool"):
        _started()
        time.sleep(600)

async def waits_for_a_thread(question):
    _started()
    await asyncio.to_thread(time.sleep, 600)
"""

REFUSING = """
from nat.plugin_api import PermanentExportError, Span, SpanExporter, TelemetryExporterBaseConfig
from nat.plugin_api import register_telemetry_exporter

class RefusingConfig(TelemetryExporterBaseConfig, name="refusing"):
    pass

class Refusing(SpanExporter[Span, Span]):
    async def export_processed(self, item):
        raise PermanentExportError("HTTP 401")

@register_telemetry_exporter(config_type=RefusingConfig)
async def refusing(config, builder):
    yield Refusing()
"""

WORKFLOW = """
workflow:
  name: helper
  entrypoint: ./agent.py:answer
general:
  telemetry:
    tracing:
      tree: {_type: console}
"""


@pytest.fixture
def nat() -> CliRunner:
    return CliRunner()


@pytest.fixture(autouse=True)
def _registry_as_before() -> Iterator[None]:
    with default_registry.preserved():
        yield


@pytest.fixture
def workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workflow file in the working directory, with the functions of `AGENT` beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    monkeypatch.delitem(__import__("sys").modules, "agent", raising=False)
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "workflow.yaml").write_text(WORKFLOW)
    return tmp_path / "workflow.yaml"


def using(function: str) -> list[str]:
    return ["--config_file", "workflow.yaml", "--override", "workflow.entrypoint", f"./agent.py:{function}"]


def test_one_run(nat: CliRunner, workflow: Path) -> None:
    """stdout is the result and nothing else; the tree and the counts are on stderr; one root."""
    result = nat.invoke(cli, ["run", "--config_file", "workflow.yaml", "--input", "spans"])

    assert result.exit_code == 0, result.stderr
    assert result.stdout == "about spans\n"
    tree, counts = result.stderr.splitlines()[:-2], result.stderr.splitlines()[-2:]
    assert [re.sub(r" +[\d.]+ m?s", "", line) for line in tree] == [
        "✓ workflow helper  1 model call  12 → 3 tokens",
        "└─ ✓ llm plan  12 → 3 tokens",
    ]
    assert [line.split() for line in counts] == [
        ["exporter", "type", "delivered", "lost"],
        ["tree", "console", "4", "0"],
    ]


@pytest.mark.parametrize("option", ["--config-file", "--config_file"])
def test_dashes_are_underscores(nat: CliRunner, workflow: Path, option: str) -> None:
    assert nat.invoke(cli, ["run", option, "workflow.yaml", "--input", "x"]).stdout == "about x\n"


@pytest.mark.parametrize(("function", "printed"), [("stream", "one, two\n"), ("nothing", ""), ("unfinished", "done\n")])
def test_what_is_printed(nat: CliRunner, workflow: Path, function: str, printed: str) -> None:
    """A generator's texts are joined; no result prints nothing."""
    assert nat.invoke(cli, ["run", *using(function), "--input", "x"]).stdout == printed


def test_a_line_each(nat: CliRunner, workflow: Path) -> None:
    """Each line of the input file is passed as it is; results come in that order, one JSON object a line."""
    Path("in.jsonl").write_text('"a"\n{"b": [1, null]}\n\n3\n')

    result = nat.invoke(
        cli, ["run", "--config_file", "workflow.yaml", "--input-file", "in.jsonl", "--concurrency", "2"]
    )

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0, result.stderr
    assert [(line["index"], line["output"]) for line in lines] == [(0, "about a"), (1, {"b": [1, None]}), (2, 3)]
    assert len({line["trace_id"] for line in lines}) == 3
    assert result.stderr.count("workflow helper") == 3


def test_lines_that_are_not_json(nat: CliRunner, workflow: Path) -> None:
    """Nothing is run; each bad line is named."""
    Path("in.jsonl").write_text('"a"\nb\n"c\n')

    result = nat.invoke(cli, ["run", "--config_file", "workflow.yaml", "--input_file", "in.jsonl"])

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "in.jsonl:2:" in result.stderr
    assert "in.jsonl:3:" in result.stderr


def test_a_run_that_raises(nat: CliRunner, workflow: Path) -> None:
    """The error, where in the user's own code it came from, exit code 1; the trace is complete."""
    result = nat.invoke(cli, ["run", "--config_file", "workflow.yaml", "--input", "fail"])

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "✗ workflow helper" in result.stderr
    assert (
        f"Error: LookupError: no such page\n  {workflow.parent / 'agent.py'}:10 in answer\n"
        '    raise LookupError("no such page")\n'
    ) in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [["--debug", "run"], ["run", "--debug"]])
def test_a_run_that_raises_with_debug(workflow: Path, arguments: list[str]) -> None:
    """`--debug` shows the whole traceback and the log of nat.observability, wherever it is written."""
    done = subprocess.run(
        [NAT, *arguments, "--config_file", "workflow.yaml", "--input", "fail"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "DEBUG nat.observability" in done.stderr


def test_one_of_many_raises(nat: CliRunner, workflow: Path) -> None:
    """The others go on; the failed one is a line with its error, and the exit code is 1."""
    Path("in.jsonl").write_text('"fail"\n"b"\n')

    result = nat.invoke(cli, ["run", "--config_file", "workflow.yaml", "--input_file", "in.jsonl"])

    first, second = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 1
    assert first["error"] == {"type": "LookupError", "message": "no such page"}
    assert second["output"] == "about b"
    assert "Error: run 0: LookupError: no such page (" in result.stderr


def test_a_step_that_never_ends_fails_the_run(nat: CliRunner, workflow: Path) -> None:
    result = nat.invoke(cli, ["run", *using("unfinished"), "--input", "x"])

    assert result.exit_code == 1
    assert "Error: 1 step(s) never ended: 'stuck'" in result.stderr
    assert re.search(r"! tool stuck +never ended", result.stderr)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected either --input TEXT or --input_file FILE"),
        (["--input", "x", "--input_file", "in.jsonl"], "expected either --input TEXT or --input_file FILE"),
        (["--input", "x", "--concurrency", "2"], "--concurrency is for --input_file"),
        (["--input_file", "in.jsonl", "--concurrency", "0"], "--concurrency"),
        (["--input_file", "no.jsonl"], "no.jsonl: cannot be read: No such file or directory"),
    ],
)
def test_wrong_usage(nat: CliRunner, workflow: Path, arguments: list[str], said: str) -> None:
    result = nat.invoke(cli, ["run", "--config_file", "workflow.yaml", *arguments])

    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("general: [", "workflow.yaml:1:11: is not valid YAML"),
        (WORKFLOW.replace("console", "consol"), "did you mean 'console'?"),
        (WORKFLOW.replace("_type: console", "_type: pigeon"), INSTALL_COMMAND),
        (WORKFLOW.replace("_type: console", "_type: console, strem: x"), "did you mean 'stream'?"),
        (WORKFLOW.replace("_type: console", "_type: console, live: 7"), "workflow.yaml:8:"),
        (WORKFLOW.replace("agent.py:answer", "agent.py:anser"), "anser"),
        (WORKFLOW.replace("./agent.py:answer", "./gone.py:answer"), "gone.py"),
    ],
)
@pytest.mark.parametrize("command", ["run", "validate"])
def test_wrong_configuration(
    nat: CliRunner, workflow: Path, command: str, text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message that says where and what; exit code 2, nothing on stdout, no traceback of ours."""
    forget_package(monkeypatch)
    workflow.write_text(text)

    result = nat.invoke(
        cli, [command, "--config_file", "workflow.yaml", *(["--input", "x"] if command == "run" else [])]
    )

    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert "nat/cli" not in result.stderr


def test_validate_lists_every_problem(nat: CliRunner, workflow: Path) -> None:
    workflow.write_text(
        "general:\n  telemetry:\n    tracing:\n      a: {_type: nope}\n      b: {_type: console, live: 7, colour: auto}\n"
    )

    result = nat.invoke(cli, ["validate", "--config_file", "workflow.yaml"])

    assert result.exit_code == 2
    for place in ("workflow.yaml:4:", "general.telemetry.tracing.b.live", "general.telemetry.tracing.b.colour"):
        assert place in result.stderr


def test_validate_says_what_is_configured(nat: CliRunner, workflow: Path) -> None:
    result = nat.invoke(cli, ["validate", "--config_file", "workflow.yaml"])

    assert result.exit_code == 0
    assert result.stdout == (
        "workflow.yaml is valid: runs ./agent.py:answer as 'helper', and exports to\n  tree  console\n"
    )


def test_without_exporters(nat: CliRunner, workflow: Path) -> None:
    """That no trace is left is said."""
    workflow.write_text("workflow: {entrypoint: './agent.py:answer'}\n")

    result = nat.invoke(cli, ["run", "--config_file", "workflow.yaml", "--input", "x"])

    assert result.exit_code == 0
    assert "No exporter is configured" in result.stderr
    assert "exports nothing" in nat.invoke(cli, ["validate", "--config_file", "workflow.yaml"]).stdout


def test_beside_another_owner_of_the_namespace(nat: CliRunner, workflow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that also holds NVIDIA's own distribution is refused, with the way out."""
    metadata = workflow.parent / "nvidia_nat-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: nvidia-nat\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(workflow.parent)

    for arguments in (
        ["run", "--config_file", "workflow.yaml", "--input", "x"],
        ["validate", "--config_file", "workflow.yaml"],
        ["info", "components"],
    ):
        result = nat.invoke(cli, arguments)

        assert result.exit_code == 2
        assert "nvidia-nat 1.2" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "function", ["waits", "waits_in_a_thread", "blocks_the_loop", "blocks_deaf", "waits_for_a_thread"]
)
def test_interrupted(workflow: Path, function: str, number: signal.Signals) -> None:
    """The run is cancelled, its trace is complete, and the exit code is 128 + the signal, whatever the code does.

    That holds where the signal goes to another thread than the one that waits, as it rarely does by itself (`blocks_deaf`).
    """
    with subprocess.Popen(
        [NAT, "run", *using(function), "--input", "x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: Path("started").exists() or process.poll() is not None)
        process.send_signal(number)
        out, err = process.communicate(timeout=180)

    assert process.returncode == 128 + number
    assert out == ""
    assert "✗ workflow helper" in err
    assert "Interrupted." in err
    assert re.search(r"tree +console +\d+ +0", err)
    assert "Traceback" not in err


def test_what_was_lost_comes_with_what_to_do(nat: CliRunner, workflow: Path) -> None:
    """Each reason once, below the counts, and where to read on."""
    (workflow.parent / "exporters.py").write_text(REFUSING)
    two_refusing = "      one: {_type: refusing}\n      two: {_type: refusing}"
    workflow.write_text("plugins: [./exporters.py]" + WORKFLOW.replace("      tree: {_type: console}", two_refusing))

    result = nat.invoke(cli, ["run", "--config_file", "workflow.yaml", "--input", "x"])

    assert result.exit_code == 0
    assert result.stderr.splitlines()[-4:] == [
        "one       refusing          0     2  2 rejected",
        "two       refusing          0     2  2 rejected",
        "rejected: the backend refused them, or the exporter raised. The log says why; delivery.dead_letters keeps them.",
        "see docs/guide/traces-do-not-arrive.md, docs/explain/delivery.md",
    ]


def test_a_thread_that_never_ends_is_left_behind(workflow: Path) -> None:
    """`nat run` ends all the same, and says which thread it did not wait for."""
    done = subprocess.run(
        [NAT, "run", *using("leaves_a_thread"), "--input", "x"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0
    assert done.stdout == "done\n"
    assert "thread 'left-behind' still runs" in done.stderr


def test_many_on_a_terminal(workflow: Path) -> None:
    """A progress bar, live trees, a result line each, and at the end nothing but what stays."""
    Path("in.jsonl").write_text("".join(f'"q{number}"\n' for number in range(5)))

    shown = on_a_terminal(
        [NAT, "run", "--config_file", "workflow.yaml", "--input_file", "in.jsonl", "--concurrency", "3"]
    )

    assert "runs" in shown
    assert shown.count('"output":"about q') == 5
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")
    assert "tree      console" in shown


def on_a_terminal(arguments: list[str]) -> str:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        arguments,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
    ) as process:
        os.close(follower)
        shown = b""
        while chunk := _read(leader):
            shown += chunk
        process.wait(timeout=180)
    os.close(leader)
    return shown.decode()


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 65536)
    except OSError:  # the other end is closed: Linux says so with EIO
        return b""
