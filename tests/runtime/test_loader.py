"""Workflow files: what they say, and what is wrong with them."""

import logging
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nat.data_models.errors import ConfigurationError
from nat.runtime.loader import load_workflow

WriteFile = Callable[[str, str], Path]

EXPORTERS = '''
from pydantic import Field, SecretStr
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.telemetry_exporter import BatchConfigMixin, DeliveryConfigMixin, TelemetryExporterBaseConfig


class QueueConfig(BatchConfigMixin, DeliveryConfigMixin, TelemetryExporterBaseConfig, name="queue"):
    """Sends to a queue."""

    url: str = Field(description="Where the queue listens.")
    api_key: SecretStr
    token: str = ""
    headers: dict[str, str] = {}


@register_telemetry_exporter(config_type=QueueConfig)
async def queue_exporter(config, builder):
    yield object()
'''


def problems_of(file: Path, *overrides: tuple[str, str], **options: Any) -> list[str]:
    """Return what is wrong with a file, without the folder it is in."""
    with pytest.raises(ConfigurationError) as caught:
        load_workflow(file, overrides, **options)
    return [
        str(problem).replace(f"{file.parent}/", "").replace(str(file.parent), "FOLDER")
        for problem in caught.value.problems
    ]


def test_workflow_file_is_read(write: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """S54, S99-S102: plugins, entrypoint, several exporters, two of one type, variables, keys of the toolkit."""
    monkeypatch.setenv("QUEUE_KEY", "a: b #{")
    monkeypatch.setenv("SIZE", "25")
    write("exporters.py", EXPORTERS)
    write("agent.py", "def answer(question):\n    return question.upper()\n")
    file = write(
        "workflow.yaml",
        """
        plugins: [./exporters.py]
        workflow: {_type: python, entrypoint: "./agent.py:answer", name: shouting}
        general:
          telemetry:
            tracing:
              first: {_type: queue, url: "http://$HOST/${PATH_PART:-v1}", api_key: "${QUEUE_KEY}", batch_size: "${SIZE}"}
              second: {_type: queue, url: u, api_key: k, required: true}
              third: {_type: nobody_knows, enabled: false}
        """,
    )

    workflow = load_workflow(file)

    assert (workflow.name, workflow.run_name, workflow.path) == ("shouting", "shouting", file)
    assert workflow.call is not None
    assert workflow.call("hi") == "HI"
    first, second = workflow.exporters
    settings = first.config.model_dump()
    assert (first.name, first.required, settings["url"]) == ("first", False, "http://$HOST/v1")
    assert (settings["api_key"].get_secret_value(), settings["batch_size"]) == ("a: b #{", 25)
    assert (second.name, second.required) == ("second", True)
    assert first.registration.type_name == "queue"


def test_a_plugin_may_be_a_file_which_is_for_development(
    write: WriteFile, plugin: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """One warning for all files, whenever they are loaded; none for modules."""
    write("one_file_exporter.py", plugin("one_file"))
    write("parts/another_file.py", plugin("another_file"))
    write("as_module.py", plugin("as_module"))
    file = write(
        "w.yaml",
        """
        plugins: [./one_file_exporter.py, as_module, parts/another_file.py]
        general: {telemetry: {tracing: {a: {_type: one_file}, b: {_type: another_file}, c: {_type: as_module}}}}
        """,
    )

    workflow = load_workflow(file)
    again = load_workflow(file)

    assert [entry.registration.type_name for entry in workflow.exporters] == ["one_file", "another_file", "as_module"]
    assert [entry.registration for entry in again.exporters] == [entry.registration for entry in workflow.exporters]
    expected = (
        f"{file}: plugins: ./one_file_exporter.py, parts/another_file.py: a file is for development; "
        "to share or deploy it, make a package of it (nat exporter new)"
    )
    assert [record.getMessage() for record in caplog.records] == [expected] * 2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "class Exporter: ...\n",
            (
                "./plugin_q.py registers nothing, expected a function with @register_telemetry_exporter or "
                "@register_telemetry_processor; add one, or take the file out of plugins"
            ),
        ),
        (
            "\ndef f(:\n",
            "./plugin_q.py cannot be imported: SyntaxError: invalid syntax (plugin_q.py, line 2); correct it",
        ),
        (None, "there is no file 'plugin_q.py'; expected a path relative to the workflow file's folder"),
    ],
    ids=["registers nothing", "syntax error", "missing"],
)
def test_a_plugin_file_that_is_wrong_says_what_to_do(write: WriteFile, source: str | None, expected: str) -> None:
    if source is not None:
        write("plugin_q.py", source)

    (problem,) = problems_of(write("w.yaml", "plugins: [./plugin_q.py]\n"))

    assert problem.splitlines()[0] == f"w.yaml:1:11: plugins[0]: {expected}"


def test_all_problems_are_told_at_once(write: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with line, column and path, in the order of the file, and no secret in any."""
    monkeypatch.delenv("UNSET_KEY", raising=False)
    write("exporters.py", EXPORTERS)
    write("agent.py", "def answer(question):\n    return question\n")
    file = write(
        "workflow.yaml",
        """\
        plugins: [./exporters.py, ./exportes.py]
        workflow: {entrypoint: "./agent.py:answr", nane: x}
        general:
          telemetry:
            tracing:
              one:
                _type: queue
                ulr: http://me:hunter22@host
                api_key: ${UNSET_KEY}
                batch_size: many
                headers: [hunter22]
              two: {_type: queu}
              three: {url: u}
              four: {_type: queue, url: u, api_key: hunter22, batch_size: 7, max_queue_size: 3}
              five: text
              six: {_type: queue, url: u, api_key: k, required: maybe, sample: 2}
              six: {_type: queue, url: u, api_key: k}
            logging: {}
        llms: {}
        workflows: {}
        """,
    )

    problems = problems_of(file)

    assert not [problem for problem in problems if "hunter22" in problem]
    head = "general.telemetry.tracing"
    assert [problem.splitlines()[0] for problem in problems if ".two." not in problem] == [
        "workflow.yaml:1:27: plugins[1]: there is no file 'exportes.py'; did you mean 'exporters.py'?",
        "workflow.yaml:2:12: workflow.entrypoint: module 'agent' has no 'answr'; did you mean 'answer'?",
        "workflow.yaml:2:44: workflow.nane: unknown key 'nane'; did you mean 'name'?",
        f"workflow.yaml:6:7: {head}.one.url: is missing, expected a value: Where the queue listens.",
        f"workflow.yaml:8:9: {head}.one.ulr: unknown key 'ulr'; did you mean 'url'?",
        (
            f"workflow.yaml:9:9: {head}.one.api_key: is empty, expected a secret: the environment variable UNSET_KEY is not "
            "set; set it"
        ),
        (
            f"workflow.yaml:10:9: {head}.one.batch_size: should be a valid integer, unable to parse string as an integer, "
            "got 'many'"
        ),
        f"workflow.yaml:11:9: {head}.one.headers: should be a valid dictionary",
        f"workflow.yaml:13:7: {head}.three._type: expected the type of the exporter, as `_type: console`",
        f"workflow.yaml:14:7: {head}.four: max_queue_size is 3, expected at least batch_size (7)",
        f"workflow.yaml:15:7: {head}.five: expected a mapping with _type and the exporter's settings, got 'text'",
        f"workflow.yaml:17:7: {head}.six: stands twice in one mapping, first in line 16; remove or rename one",
        (
            "workflow.yaml:18:5: general.telemetry.logging: is not supported: logging is left to Python's own logging "
            "module; remove this section"
        ),
        (
            "workflow.yaml:19:1: llms: is not supported: nat-telemetry does not build agents from YAML, it runs a Python "
            "function of yours; remove this section and name your function under workflow.entrypoint"
        ),
        "workflow.yaml:20:1: workflows: unknown key 'workflows'; did you mean 'workflow'?",
    ]
    assert [
        problem
        for problem in problems
        if f"workflow.yaml:12:13: {head}.two._type: no exporter of type 'queu'" in problem
    ]


PROCESSORS = """\
from nat.plugin_api import Processor, Span, TelemetryProcessorBaseConfig, register_telemetry_processor
from pydantic import Field, SecretStr

class ThinConfig(TelemetryProcessorBaseConfig, name="thin"):
    "Keeps a share."
    salt: SecretStr = Field(description="Of the hash.")
    share: float = 0.5

class Thin(Processor[Span, Span]):
    async def process(self, item):
        return item

@register_telemetry_processor(config_type=ThinConfig)
async def thin(config, builder):
    yield Thin()
"""


def test_keys_of_the_toolkit_are_checked(write: WriteFile) -> None:
    """A flag that is none, and a choice where there is none."""
    write("exporters.py", EXPORTERS)
    file = write(
        "w.yaml",
        """\
        plugins: [exporters]
        general: {telemetry: {tracing: {a: {_type: queue, url: u, api_key: k, required: maybe, conventions: both}}}}
        """,
    )

    assert problems_of(file) == [
        "w.yaml:2:71: general.telemetry.tracing.a.required: expected true or false, got 'maybe'",
        (
            "w.yaml:2:88: general.telemetry.tracing.a.conventions: has no effect on this exporter of type queue, whose spans "
            "have names of its own; remove it"
        ),
    ]


def test_redaction_is_checked(write: WriteFile) -> None:
    """A profile or the settings of the processor, each mistake with its place."""
    write("exporters.py", EXPORTERS)
    file = write(
        "w.yaml",
        """\
        plugins: [exporters]
        general:
          telemetry:
            redact: pi
            tracing:
              a: {_type: queue, url: u, api_key: k, redact: {profil: pii, action: hash}}
              b: {_type: queue, url: u, api_key: k, redact: 5}
        """,
    )

    assert problems_of(file) == [
        "w.yaml:4:5: general.telemetry.redact.profile: should be 'secrets', 'pii' or 'none', got 'pi'",
        "w.yaml:6:54: general.telemetry.tracing.a.redact.profil: unknown key 'profil'; did you mean 'profile'?",
        (
            "w.yaml:7:45: general.telemetry.tracing.b.redact: expected secrets, pii, none or a mapping, got 5; "
            "see nat info processor redact"
        ),
    ]


def test_processors_are_checked(write: WriteFile) -> None:
    """Each mistake with its place in the list; an item that is switched off is not looked at."""
    write("exporters.py", EXPORTERS)
    write("processors.py", PROCESSORS)
    file = write(
        "w.yaml",
        """\
        plugins: [exporters, processors]
        general:
          telemetry:
            processors:
              - {_type: thinn}
              - {_type: thin, shaer: 1, timeout: -1}
              - {_type: nothing, enabled: false}
              - thin
              - {share: 1}
            tracing:
              a:
                _type: queue
                url: u
                api_key: k
                processors:
                  - {_type: thin, share: many, salt: "${UNSET_SALT}"}
              b: {_type: queue, url: u, api_key: k, processors: {_type: thin}}
        """,
    )

    general, tracing = "general.telemetry.processors", "general.telemetry.tracing"
    problems = problems_of(file)

    assert problems[0].startswith(
        f"w.yaml:5:10: {general}[0]._type: no processor of type 'thinn', did you mean 'thin'?"
    )
    assert problems[0].endswith(
        "A processor of your own must be registered by a module that is imported: name it under plugins:"
    )
    assert problems[1:] == [
        f"w.yaml:6:9: {general}[1].salt: is missing, expected a value: Of the hash.",
        f"w.yaml:6:23: {general}[1].shaer: unknown key 'shaer'; did you mean 'share'?",
        f"w.yaml:6:33: {general}[1].timeout: expected a number of seconds above 0, got -1",
        f"w.yaml:8:9: {general}[3]: expected a mapping with _type and the processor's settings, got 'thin'",
        f"w.yaml:9:9: {general}[4]._type: expected the type of the processor",
        (
            f"w.yaml:16:27: {tracing}.a.processors[0].share: should be a valid number, unable to parse string as a number, "
            "got 'many'"
        ),
        (
            f"w.yaml:16:40: {tracing}.a.processors[0].salt: is empty, expected a secret: the environment variable UNSET_SALT "
            "is not set; set it"
        ),
        (
            f"w.yaml:17:45: {tracing}.b.processors: expected a list of processors, each a mapping with _type, got "
            "{'_type': 'thin'}"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("general:\n\ttelemetry: {}\n", "w.yaml:2:1: is not valid YAML: found character '\\t' that cannot start any token"),
        ("general: {a: [}\n", "w.yaml:1:15: is not valid YAML: expected the node content, but found '}'"),
        ("a: 1\n b: 2\n", "w.yaml:2:3: is not valid YAML: mapping values are not allowed here"),
        ("a: &x [*x]\n", "w.yaml:1:4: is not valid YAML: found a value that contains itself"),
        ("a: !!python/object:os.system {}\n", "w.yaml:1:4: is not valid YAML: could not determine a constructor for"),
        ("a: !env X\n", "w.yaml:1:4: is not valid YAML: could not determine a constructor for the tag '!env'"),
        ("--- 1\n--- 2\n", "w.yaml:2:1: is not valid YAML: but found another document"),
        ("a: \x01\n", "w.yaml:1: is not valid YAML: character '\\x01' is not allowed"),
        ("? [a]\n: 1\n", "w.yaml:1:3: is not valid YAML: found a key that is not text"),
        (f"a: {'[' * 700}", "w.yaml: is nested too deeply to be read"),
        ("", "w.yaml: is empty, expected the keys general and workflow"),
        ("[1]\n", "w.yaml:1:1: expected a mapping with the keys general, workflow, plugins, got [1]"),
        ("plugins: exporters\n", "w.yaml:1:1: plugins: expected a list of modules or files, as [my_exporters], got"),
        ("general: {telemetry: {tracing: [a]}}\n", "w.yaml:1:23: general.telemetry.tracing: expected a mapping of names"),
        ("workflow: {_type: react_agent, llm: x}\n", "w.yaml:1:12: workflow._type: is 'react_agent', expected python"),
        ("workflow: {}\n", "w.yaml:1:1: workflow: has no entrypoint, expected package.module:function or"),
        ("workflow: {entrypoint: agent}\n", "w.yaml:1:12: workflow.entrypoint: 'agent' names no function, expected"),
        ("workflow: {entrypoint: 5}\n", "w.yaml:1:12: workflow.entrypoint: expected text, got 5"),
        ("workflow: {entrypoint: 'a b:c'}\n", "w.yaml:1:12: workflow.entrypoint: 'a b' is neither a module nor a file"),
        ("workflow: {entrypoint: 'agnet_q:f'}\n", "w.yaml:1:12: workflow.entrypoint: there is no module 'agnet_q'"),
    ],
)  # fmt: skip
def test_broken_files_have_one_message(write: WriteFile, text: str, expected: str) -> None:
    """S103: where, what, and what was expected."""
    problems = problems_of(write("w.yaml", text))

    assert len(problems) == 1
    assert problems[0].startswith(expected)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file names those that are there; a folder and a binary file are told as such."""
    (tmp_path / "workflow.yaml").write_text("")
    (tmp_path / "binary.yaml").write_bytes(b"a: 1\nb: \xff\n")

    assert problems_of(tmp_path / "work.yaml") == ["work.yaml: no such file; 'FOLDER' holds binary.yaml, workflow.yaml"]
    assert problems_of(tmp_path)[0].endswith("is a directory, expected a workflow file")
    assert problems_of(tmp_path / "binary.yaml") == [
        "binary.yaml:2: byte 0xff is not UTF-8, expected a text file in UTF-8; save it as such"
    ]


def test_entrypoint_that_does_not_import_shows_the_users_traceback(write: WriteFile) -> None:
    """The user's own frames, and none of ours or of the import machinery."""
    write("helper.py", "def divide():\n    return 1 / 0\n")
    write("agent.py", "import helper\nhelper.divide()\n")
    file = write("w.yaml", "workflow: {entrypoint: './agent.py:answer'}\n")

    with pytest.raises(ConfigurationError) as caught:
        load_workflow(file)

    problem = caught.value.problems[0]
    assert problem.message == "./agent.py cannot be imported: ZeroDivisionError: division by zero; correct it"
    assert problem.details is not None
    assert re.findall(r'File ".*/(\w+\.py)", line (\d+)', problem.details) == [("agent.py", "2"), ("helper.py", "2")]
    assert problem.details.endswith("ZeroDivisionError: division by zero")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(:\n", "SyntaxError: invalid syntax (agent.py, line 1); correct it"),
        ("import not_there_q\n", "install 'not_there_q' in this environment, or correct the import"),
        ("from .helper import x\n", "write `import helper` instead of `from . import helper`"),
        ("raise SystemExit(3)\n", "./agent.py cannot be imported: SystemExit: 3"),
        ("answer = 5\n", "'answer' of module 'agent' is int, expected a function"),
    ],
)
def test_entrypoints_that_fail_say_what_to_do(write: WriteFile, source: str, expected: str) -> None:
    """Each kind of failure has its own remedy."""
    write("agent.py", source)

    assert expected in problems_of(write("w.yaml", "workflow: {entrypoint: './agent.py:answer'}\n"))[0]


def test_code_of_the_user_imports_its_neighbours(write: WriteFile) -> None:
    """A file may import helpers beside it, in a package also relatively; it is imported once, under its own name."""
    write("helper.py", "WORD = 'hello'\n")
    write("agent.py", "import helper\ndef answer(question):\n    return helper.WORD\n")
    write("kit_q/__init__.py", "")
    write("kit_q/words.py", "WORD = 'bye'\n")
    write(
        "kit_q/agent.py",
        "from .words import WORD\nclass Agent:\n    def answer(self, q):\n        return WORD\nbot = Agent()\n",
    )

    plain = load_workflow(write("a.yaml", "plugins: [agent]\nworkflow: {entrypoint: './agent.py:answer'}\n"))
    nested = load_workflow(write("b.yaml", "workflow: {entrypoint: './kit_q/agent.py:bot.answer'}\n"))

    assert plain.call is sys.modules["agent"].answer
    assert pickle.loads(pickle.dumps(plain.call)) is plain.call
    assert nested.call is not None
    assert nested.call("?") == "bye"
    assert "kit_q.agent" in sys.modules


def test_files_of_one_name_in_two_folders_do_not_mix(write: WriteFile) -> None:
    """A second file of a name that is taken becomes a module of its own."""
    for folder in ("one", "two"):
        write(f"{folder}/agent.py", f"def answer(question):\n    return {folder!r}\n")
        write(f"{folder}/w.yaml", "workflow: {entrypoint: './agent.py:answer'}\n")
    home = write("w.yaml", "").parent

    calls = [load_workflow(home / name / "w.yaml").call for name in ("one", "two", "one", "two")]

    assert [call("?") for call in calls if call is not None] == ["one", "two", "one", "two"]
    assert calls[1] is calls[3]


def test_program_that_loads_its_own_workflow_file_is_not_imported_again(write: WriteFile) -> None:
    """A main program may be its own workflow's entrypoint."""
    program = write(
        "agent.py",
        """
        from nat.runtime.loader import load_workflow
        print("imported", __name__)
        workflow = load_workflow("w.yaml", entrypoint="unused")
        def answer(question):
            return question
        print(load_workflow("w.yaml").call is answer)
        """,
    )
    write("w.yaml", "workflow: {entrypoint: './agent.py:answer'}\n")

    output = subprocess.run(
        [sys.executable, program.name], cwd=program.parent, capture_output=True, text=True, check=True
    )

    assert output.stdout == "imported __main__\nTrue\n"


def test_workflow_section_may_be_required_or_unused(write: WriteFile) -> None:
    """What runs needs it; what only wants exporters does not look the function up."""
    empty = write("a.yaml", "general: {}\n")
    wrong = write("b.yaml", "workflow: {entrypoint: './agent.py:nobody'}\n")
    write("agent.py", "")

    assert load_workflow(empty).call is None
    assert problems_of(empty, entrypoint="required")[0].startswith("a.yaml:1:1: names nothing to run; add a workflow")
    assert load_workflow(wrong, entrypoint="unused").call is None
    assert load_workflow(wrong, entrypoint="unused").run_name == "nobody"


def test_the_entrypoint_may_be_imported_only_for_a_type_that_is_not_known_otherwise(write: WriteFile) -> None:
    """Once, and all that is wrong is said as ever."""
    text = """\
        workflow: {{entrypoint: './{}.py:answer'}}
        general: {{telemetry: {{tracing: {{prod: {{_type: {}}}}}}}}}
        """
    known = write("a.yaml", text.format("broken", "console"))
    unknown = write("b.yaml", text.format("broken", "nowhere"))
    needed = write("c.yaml", text.format("agent", "from_agent"))
    write("broken.py", "raise RuntimeError('imported')\n")
    write("agent.py", """
        from nat.plugin_api import TelemetryExporterBaseConfig, register_telemetry_exporter
        class Config(TelemetryExporterBaseConfig, name="from_agent"):
            pass
        @register_telemetry_exporter(config_type=Config)
        async def from_agent(config, builder):
            yield None
        """)  # fmt: skip

    assert [entry.name for entry in load_workflow(known, entrypoint="if_needed").exporters] == ["prod"]
    assert [problem.partition(" ")[0] for problem in problems_of(unknown, entrypoint="if_needed")] == [
        "b.yaml:1:12:",
        "b.yaml:2:40:",
    ]
    assert load_workflow(needed, entrypoint="if_needed").exporters[0].registration.type_name == "from_agent"


def test_unset_variable_is_an_empty_text_and_a_warning(
    write: WriteFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """D22: named with its variable and path; not for an entry that is not enabled."""
    monkeypatch.delenv("NO_SUCH", raising=False)
    monkeypatch.setenv("EMPTY", "")
    write("exporters.py", EXPORTERS)
    file = write(
        "w.yaml",
        """
        plugins: [exporters]
        general:
          telemetry:
            tracing:
              a: {_type: queue, url: "${NO_SUCH}", api_key: "${EMPTY:-fallback}", token: "x${NO_SUCH}${EMPTY}"}
              b: {_type: queue, enabled: false, url: "${OTHER_UNSET}"}
              c: {_type: queue, url: "${not a name}", api_key: "${EMPTY:-}k"}
        """,
    )

    first, second = load_workflow(file).exporters

    assert (first.config.model_dump()["url"], first.config.model_dump()["token"]) == ("", "x")
    assert second.config.model_dump()["url"] == "${not a name}"
    tracing = "general.telemetry.tracing"
    assert [(record.name, record.levelname, record.message) for record in caplog.records] == [
        (
            "nat.observability.configuration",
            "WARNING",
            (
                f"{file}: {tracing}.a.url, {tracing}.a.token: the environment variable NO_SUCH is not set, an empty text is "
                "used; set it, or write ${NO_SUCH:-default}"
            ),
        ),
        (
            "nat.observability.configuration",
            "WARNING",
            (
                f"{file}: {tracing}.c.url: holds a ${{ that begins no reference to a variable and stays as it is; expected "
                "${NAME} or ${NAME:-default}"
            ),
        ),
    ]


def test_empty_variable_in_a_required_secret_is_an_error(
    write: WriteFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """D22: unset or empty, with the variable named; a number that a variable left empty says so too."""
    monkeypatch.delenv("NO_SUCH", raising=False)
    monkeypatch.setenv("EMPTY", "")
    write("exporters.py", EXPORTERS)
    text = """\
        plugins: [exporters]
        general: {telemetry: {tracing: {a: {_type: queue, url: u, timeout: "${NO_SUCH}", api_key: "${EMPTY}"}}}}
        """

    problems = problems_of(write("w.yaml", text))

    head = "general.telemetry.tracing.a"
    assert problems == [
        (
            f"w.yaml:2:59: {head}.timeout: should be a valid number, unable to parse string as a number; the environment "
            "variable NO_SUCH is not set"
        ),
        f"w.yaml:2:82: {head}.api_key: is empty, expected a secret: the environment variable EMPTY is empty; set it",
    ]
    assert not caplog.records


def test_variables_are_inserted_once(write: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """D23: what a variable holds is text, neither YAML nor another reference."""
    monkeypatch.setenv("OUTER", "${INNER}")
    monkeypatch.setenv("INNER", "x")
    monkeypatch.setenv("BLOCK", "]: {\n- a")
    write("exporters.py", EXPORTERS)
    file = write(
        "w.yaml",
        """
        plugins: [exporters]
        general: {telemetry: {tracing: {a: {_type: queue, url: "${OUTER}", api_key: k, token: "${BLOCK}"}}}}
        """,
    )

    settings = load_workflow(file).exporters[0].config.model_dump()

    assert (settings["url"], settings["token"]) == ("${INNER}", "]: {\n- a")


def test_overrides_stand_in_for_the_file(write: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dotted key and a scalar: made if it is not there, interpolated like the rest."""
    monkeypatch.setenv("KEY", "from-environment")
    write("exporters.py", EXPORTERS)
    write("agent.py", "def answer(question):\n    return question\n")
    file = write("w.yaml", "plugins: [nothing]\nworkflow: {entrypoint: x, name: '5'}\n")
    tracing = "general.telemetry.tracing.new"

    workflow = load_workflow(
        file,
        [
            ("plugins.0", "exporters"),
            ("workflow.entrypoint", "./agent.py:answer"),
            ("workflow.name", "[APP] x: y"),
            (f"{tracing}._type", "queue"),
            (f"{tracing}.url", "2024-01-01"),
            (f"{tracing}.api_key", "${KEY}"),
            (f"{tracing}.token", ""),
            (f"{tracing}.batch_size", "7"),
            (f"{tracing}.drop_on_overflow", "true"),
        ],
    )

    settings = workflow.exporters[0].config.model_dump()
    assert workflow.name == "[APP] x: y"
    assert (settings["url"], settings["token"], settings["batch_size"]) == ("2024-01-01", "", 7)
    assert settings["drop_on_overflow"] is True
    assert settings["api_key"].get_secret_value() == "from-environment"


def test_overrides_of_an_empty_file(write: WriteFile) -> None:
    """What is not there is made."""
    write("agent.py", "def answer(question):\n    return question\n")

    workflow = load_workflow(
        write("w.yaml", ""), [("workflow.entrypoint", "./agent.py:answer"), ("workflow.name", "=")]
    )

    assert (workflow.run_name, workflow.entrypoint) == ("=", "./agent.py:answer")


def test_overrides_that_cannot_be(write: WriteFile) -> None:
    """A path through a value, beyond a list, over a mapping; and a value that does not fit."""
    write("exporters.py", EXPORTERS)
    file = write(
        "w.yaml",
        """\
        plugins: [exporters]
        general: {telemetry: {tracing: {a: {_type: queue, url: u, api_key: k}}}}
        """,
    )
    entry = "general.telemetry.tracing.a"

    problems = problems_of(
        file,
        (f"{entry}.url.port", "1"),
        ("plugins.3", "x"),
        ("plugins.x.y", "x"),
        (entry, "x"),
        ("a..b", "1"),
        (f"{entry}.timeout", "-1"),
    )

    assert problems == [
        (
            f"--override {entry}.url.port: {entry}.url is text and has no keys; give a value to {entry}.url itself, or name "
            "another key"
        ),
        "--override plugins.3: plugins is a list of 1; expected a number below that instead of '3'",
        "--override plugins.x: plugins is a list of 1; expected a number below that instead of 'x'",
        f"--override {entry}: holds a mapping, which one value cannot replace; name a key inside it: _type, url, api_key",
        "--override 'a..b': expected keys joined by dots, as general.telemetry.tracing.NAME.KEY",
        f"{entry}.timeout: should be greater than 0, got -1 (as given by --override)",
    ]


def test_anchors_and_merges_work(write: WriteFile) -> None:
    """What YAML offers against repetition: a merged key is no double, an own key wins."""
    write("exporters.py", EXPORTERS)
    file = write(
        "w.yaml",
        """
        plugins: [exporters]
        general:
          telemetry:
            tracing:
              a: &base {_type: queue, url: u, api_key: k, batch_size: 3}
              b: {<<: *base, url: v}
              c: *base
              d: *base
        """,
    )

    urls = {entry.name: entry.config.model_dump()["url"] for entry in load_workflow(file).exporters}

    assert urls == {"a": "u", "b": "v", "c": "u", "d": "u"}


def test_environment_with_another_owner_of_the_namespace(
    write: WriteFile, add_distribution: Callable[..., Path]
) -> None:
    """An environment that holds NVIDIA's toolkit too says so and how to part them."""
    file = write("w.yaml", "general: {}\n")
    assert load_workflow(file).exporters == []
    add_distribution("nvidia-nat-core", "", {}, version="1.4.0")

    problems = problems_of(file)

    assert len(problems) == 1
    assert problems[0].startswith(
        "nvidia-nat-core 1.4.0 is installed in this environment. It owns the import package 'nat'"
    )
    assert "pip uninstall nvidia-nat-core" in problems[0]


def test_entrypoint_may_register_exporters(write: WriteFile, caplog: pytest.LogCaptureFixture) -> None:
    """Its module is imported before exporters are looked up, so code that is not installed can have them."""
    caplog.set_level(logging.WARNING)
    write("agent.py", EXPORTERS + "\n\ndef answer(question):\n    return question\n")
    file = write(
        "w.yaml",
        """
        workflow: {entrypoint: "agent:answer"}
        general: {telemetry: {tracing: {a: {_type: queue, url: u, api_key: k}}}}
        """,
    )

    workflow = load_workflow(file)

    assert workflow.run_name == "answer"
    assert [entry.registration.module for entry in workflow.exporters] == ["agent"]
    assert not caplog.records
