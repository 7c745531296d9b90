"""`nat explain`: what each exporter would make of a recorded run, and nothing is sent."""

import asyncio
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nat.cli.explanation import explain
from nat.cli.main import cli
from nat.cli.recorded import read_run
from nat.data_models.span import Span
from nat.observability import Telemetry, exporter_entry, step
from nat.observability.exporter.base_exporter import LaneView
from nat.observability.registry import OWN_TYPES, default_registry
from nat.plugins.file.reader import read_runs, read_spans, read_steps
from nat.plugins.file.register import FileConfig
from nat.runtime.loader import load_workflow
from nat.testing import FakeBackend, recorded_run, replay
from tests.contract.keys import Subject, own_registrations, without_variables
from tests.support.canaries import SECRETS, canaries, found_in, plant

CANARY = "ghp_" + "a1B2c3D4e5" * 4  # of the form that GitHub's tokens have
API_KEY = "sesame-open-4711"
_FORMATS = {"spans": "spans.jsonl", "steps": "steps.jsonl", "otlp_json": "otlp.jsonl"}


@pytest.fixture(autouse=True)
def _registry_as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    without_variables(monkeypatch)
    monkeypatch.chdir(tmp_path)
    modules, path = set(sys.modules), list(sys.path)
    with default_registry.preserved():
        yield
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
    sys.path[:] = path


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Two runs, recorded as they are in three formats; the folder that they are in."""
    folder = tmp_path / "recorded"
    configs = {
        form: FileConfig.model_validate({"output_path": str(folder / name), "format": form})
        for form, name in _FORMATS.items()
    }
    with Telemetry(configs, redact="none") as telemetry:
        with telemetry.run("earlier"):
            pass
        with telemetry.run("shop", input=f"key {CANARY}", metadata={"tenant": "acme"}, tags=["live"]):
            question = [{"role": "user", "content": f"I am ada@example.org, {CANARY}"}]
            with step("gpt", kind="llm", input=question, model="m-1"):
                pass
            with step("pay", kind="tool", input=f"with {API_KEY}"):
                pass
    return folder


def entry(name: str, lines: str) -> str:
    """A workflow file with one exporter."""
    body = textwrap.indent(textwrap.dedent(lines).strip(), "        ")
    return f"general:\n  telemetry:\n    tracing:\n      {name}:\n{body}\n"


def nat_explain(recording: Path, *options: str, file: str = "w.yaml", color: bool = False) -> Result:
    arguments = ["explain", "--config_file", file, "--run", str(recording), *options]
    return CliRunner().invoke(cli, arguments, color=color)


def report(recording: Path, *options: str, code: int = 0) -> dict[str, Any]:
    result = nat_explain(recording, "--json", *options)
    assert result.exit_code == code, result.output
    fields: dict[str, Any] = json.loads(result.stdout)
    return fields


def stages_of(report: Mapping[str, Any], exporter: str) -> dict[str, dict[str, str]]:
    """What became of each item, by its name: at each stage, its outcome and reason."""
    (found,) = [one for one in report["exporters"] if one["exporter"] == exporter]
    return {
        stage["stage"].rpartition(".tracing.")[2]: {
            item["item"].partition(" (")[0]: " ".join(filter(None, (item["outcome"], item["reason"])))
            for item in stage["items"]
        }
        for stage in found["stages"]
    }


# -- what is shown ---------------------------------------------------------------------------------------------------------


def test_each_step_of_the_way_is_shown_as_a_difference(write: Callable[[str, str], Path], recorded: Path) -> None:
    """The whole text, but for ids."""
    write(
        "w.yaml",
        entry(
            "prod",
            """
            _type: otelcollector
            redact: pii
            when: {kind: [llm, tool]}
            content: truncate:30
            """,
        ),
    )

    result = nat_explain(recorded / "spans.jsonl")

    assert result.exit_code == 0
    assert re.sub(r"\b[0-9a-f]{16,32}\b", "ID", result.stdout).replace(str(recorded), "DIR") == textwrap.dedent(
        """\
        Run ID 'shop' of DIR/spans.jsonl: 3 spans.
        Other runs in it: 1; --run_id chooses.

        prod (otelcollector, names of openinference)
          redact: 3 in, 3 out, 2 changed
            ~ gpt (LLM) ID
                ~ input.value: "[{\\"role\\":\\"user\\",\\"content\\":\\"I am [REDACTED:email], [REDACTED:github_token]\\"}]"
                ~ llm.input_messages.0.message.content: "I am [REDACTED:email], [REDACTED:github_token]"
            ~ shop (CHAIN) ID
                ~ input.value: "key [REDACTED:github_token]"
          general.telemetry.tracing.prod.when (filter): 3 in, 2 out
            - shop (CHAIN) ID: filtered
          general.telemetry.tracing.prod.content (content): 2 in, 2 out, 1 changed
            ~ gpt (LLM) ID
                - input.value: "[{\\"role\\":\\"user\\",\\"content\\":\\"I am [REDACTED:email], [REDACTED:github_token]\\"}]"
                + input.value: "[{\\"role\\":\\"user\\",\\"content\\":\\"I …"
                - input.mime_type: "application/json"
                + input.mime_type: "text/plain"
                - llm.input_messages.0.message.content: "I am [REDACTED:email], [REDACTED:github_token]"
                + llm.input_messages.0.message.content: "I am [REDACTED:email], [REDAC…"
                + nat.content.cut_chars: 62
                + nat.content.cut_attributes: ["input.value", "llm.input_messages.0.message.content"]
          exported: 2 spans
        """
    )


def test_colours_are_for_terminals(write: Callable[[str, str], Path], recorded: Path) -> None:
    write("w.yaml", entry("prod", "_type: otelcollector\nwhen: {kind: tool}"))

    plain, coloured = nat_explain(recorded / "spans.jsonl"), nat_explain(recorded / "spans.jsonl", color=True)

    assert "\x1b" not in plain.stdout
    assert "\x1b[31m    - shop" in coloured.stdout
    assert re.sub(r"\x1b\[\d*m", "", coloured.stdout) == plain.stdout


def test_one_recording_gives_a_different_result_for_each_exporter(
    write: Callable[[str, str], Path], recorded: Path
) -> None:
    write(
        "w.yaml",
        """\
        general:
          telemetry:
            processors: [{_type: filter, action: drop, when: {name: pay}}]
            tracing:
              all: {_type: otelcollector, conventions: gen_ai}
              failed: {_type: otelcollector, sample: {ratio: 0, keep: errors}}
              none: {_type: otelcollector, content: none, redact: none}
              trail: {_type: file, output_path: ./trail.jsonl}
        """,
    )

    found = report(recorded / "spans.jsonl")

    assert stages_of(found, "all") == {
        "redact": {"gpt": "changed", "pay": "passed", "shop": "changed"},
        "general.telemetry.processors[0] (filter)": {"gpt": "passed", "pay": "dropped filtered", "shop": "passed"},
        "conventions gen_ai": {"gpt": "changed", "shop": "changed"},
    }
    assert stages_of(found, "failed")["failed.sample (sample)"] == {
        "gpt": "dropped sampled_out",
        "shop": "dropped sampled_out",
    }
    assert stages_of(found, "none")["none.content (content)"] == {"gpt": "changed", "shop": "changed"}
    assert {one["exporter"]: (one["conventions"], one["unit"], one["exported"]) for one in found["exporters"]} == {
        "all": ("gen_ai", "spans", 2),
        "failed": ("openinference", "spans", 0),
        "none": ("openinference", "spans", 2),
        "trail": (None, "steps", None),
    }
    assert found["exporters"][3]["notes"] == [
        "it takes steps, and spans were recorded; record with `format: steps` to see it"
    ]
    assert found["run"]["name"] == "shop"
    assert (found["run"]["form"], found["run"]["count"], found["run"]["other_runs"]) == ("spans", 3, 1)


@pytest.mark.parametrize("form", _FORMATS)
def test_every_format_can_be_explained(write: Callable[[str, str], Path], recorded: Path, form: str) -> None:
    write(
        "w.yaml",
        """\
        general:
          telemetry:
            tracing:
              spans: {_type: otelcollector, when: {kind: tool}}
              steps: {_type: file, output_path: ./steps.jsonl, when: {kind: tool}}
        """,
    )

    found = report(recorded / _FORMATS[form])

    counts = {one["exporter"]: one["exported"] for one in found["exporters"]}
    assert counts == {"spans": 1, "steps": 2 if form == "steps" else None}


ROUTED = """\
    _type: phoenix
    processors:
      - _type: route
        by: tenant
        routes: {acme: {project: a}, globex: {project: g}}
        otherwise: withhold
    """


def test_routes_say_where_a_run_goes(write: Callable[[str, str], Path], recorded: Path) -> None:
    write("w.yaml", entry("prod", ROUTED))

    found = report(recorded / "spans.jsonl")

    elsewhere = dict.fromkeys(("gpt", "pay", "shop"), "dropped goes to prod/acme")
    assert stages_of(found, "prod") == stages_of(found, "prod/globex") == {"route": elsewhere}
    assert stages_of(found, "prod/acme")["route"] == dict.fromkeys(("gpt", "pay", "shop"), "passed")
    assert [one["exported"] for one in found["exporters"]] == [0, 3, 0]


def test_nested_runs_are_told_from_steps_that_are_called_workflows(
    write: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """By what a filter on the workflow's name makes of them, as in life."""
    write("w.yaml", entry("prod", "_type: otelcollector\nwhen: {workflow: inner}"))
    config = FileConfig.model_validate({"output_path": str(tmp_path / "nested.jsonl"), "format": "spans"})
    with Telemetry(config) as telemetry, telemetry.run("outer"):
        with step("stage", kind="workflow", metadata={"tenant": "x"}), step("in stage"):
            pass
        with telemetry.run("inner"), step("in inner"):
            pass

    found = report(tmp_path / "nested.jsonl")

    assert stages_of(found, "prod")["prod.when (filter)"] == {
        **dict.fromkeys(("in stage", "stage", "outer"), "dropped filtered"),
        **dict.fromkeys(("in inner", "inner"), "passed"),
    }


def test_metadata_can_be_said_and_tried(write: Callable[[str, str], Path], recorded: Path) -> None:
    """A recording of steps does not have it; of spans, another value can be tried."""
    write("w.yaml", entry("prod", ROUTED))

    without = report(recorded / "steps.jsonl", "--exporter", "prod/acme")
    steps = report(recorded / "steps.jsonl", "--exporter", "prod", "--metadata", "tenant=acme")
    spans = report(recorded / "spans.jsonl", "--metadata", "tenant=somebody")

    assert stages_of(without, "prod/acme")["route"]["pay"] == "dropped goes to prod"
    assert [one["exported"] for one in steps["exporters"]] == [0, 3, 0]
    assert stages_of(spans, "prod")["route"]["pay"] == "dropped unrouted"
    assert "--metadata" in nat_explain(recorded / "steps.jsonl").stdout


def test_some_exporters_and_some_spans(write: Callable[[str, str], Path], recorded: Path) -> None:
    """All spans are processed all the same."""
    write(
        "w.yaml",
        """\
        general:
          telemetry:
            tracing:
              one: {_type: otelcollector, when: {kind: tool}}
              other: {_type: otelcollector}
        """,
    )
    everything = report(recorded / "spans.jsonl", "--exporter", "one")
    (gpt,) = [item for item in everything["exporters"][0]["stages"][0]["items"] if item["item"] == "gpt (LLM)"]

    for wanted in ("g*", "gpt", gpt["id"][:8]):
        found = report(recorded / "spans.jsonl", "--exporter", "one", "--span", wanted)
        assert stages_of(found, "one") == {
            "redact": {"gpt": "changed"},
            "one.when (filter)": {"gpt": "dropped filtered"},
        }
        assert [one["exporter"] for one in found["exporters"]] == ["one"]
        assert (found["exporters"][0]["stages"][1]["in"], found["exporters"][0]["exported"]) == (3, 1)


def test_a_run_is_chosen_by_how_its_id_begins(write: Callable[[str, str], Path], recorded: Path) -> None:
    write("w.yaml", entry("prod", "_type: otelcollector"))
    earlier = next(span for span in read_spans(recorded / "spans.jsonl") if span.name == "earlier")
    first = next(read_steps(recorded / "steps.jsonl"))
    assert earlier.context is not None

    spans = report(recorded / "spans.jsonl", "--run_id", f"{earlier.context.trace_id:032X}"[:12])
    steps = report(recorded / "steps.jsonl", "--run_id", first.UUID[:12])

    assert spans["run"]["name"] == steps["run"]["name"] == "earlier"


# -- that it is true -------------------------------------------------------------------------------------------------------

RULES = """\
general:
  telemetry:
    processors: [{_type: filter, action: drop, when: {kind: guardrail}}]
    tracing:
      out:
        _type: file
        format: spans
        output_path: OUT
        redact: pii
        conventions: both
        when: {min_duration_s: 0}
        sample: {ratio: 0, keep: {min_tokens: 1, errors: true}}
        content: truncate:40
"""


def facts_of(spans: Iterable[Any], *, is_of_steps: bool) -> dict[int, tuple[object, ...]]:
    """What is compared, by span: all that a span says, or what steps say, too."""
    facts: dict[int, tuple[object, ...]] = {}
    for span in spans:
        assert isinstance(span, Span)
        assert span.context is not None
        said = span.attributes
        values = tuple(said.get(key) for key in ("input.value", "output.value", "gen_ai.request.model"))
        facts[span.context.span_id] = (span.name, span.status.code, values if is_of_steps else said)
    return facts


@pytest.mark.parametrize("name", ["tool_call", "nested_agents", "failing_tool", "grounded_answer", "streamed_answer"])
@pytest.mark.parametrize("form", ["spans", "steps"])
def test_it_says_what_the_exporter_gets(
    write: Callable[[str, str], Path], tmp_path: Path, name: str, form: str
) -> None:
    """Span by span what a real exporter with the same rules has written for the same run."""
    file = write("w.yaml", RULES.replace("OUT", str(tmp_path / "out.jsonl")))
    recording = tmp_path / "recording.jsonl"
    (entry,) = load_workflow(file).exporters
    raw = FileConfig.model_validate({"output_path": str(recording), "format": form})
    with Telemetry(entry, exporter_entry(raw, name="raw", redact="none")) as telemetry:
        replay(recorded_run(name), telemetry)

    explained = asyncio.run(explain(entry, read_run(recording, None, {})))

    written = facts_of(read_spans(tmp_path / "out.jsonl"), is_of_steps=form == "steps")
    assert facts_of(explained.result, is_of_steps=form == "steps") == written
    assert written


@pytest.mark.parametrize(
    ("type_name", "path", "settings"),
    [
        ("langfuse", "/api/public/otel/v1/traces", {"public_key": "p", "secret_key": "s", "environment": "test"}),
        ("langsmith", "/otel/v1/traces", {"api_key": "k", "conventions": "both"}),
        ("galileo", "/otel/traces", {"api_key": "k"}),
        ("patronus", "/v1/traces", {"api_key": "k", "protocol": "http"}),
        ("weave", "/otel/v1/traces", {"api_key": "k", "project": "e/p"}),
        ("otelcollector", "/v1/traces", {"conventions": "gen_ai"}),
    ],
)
def test_it_says_what_is_on_the_wire(
    write: Callable[[str, str], Path], tmp_path: Path, type_name: str, path: str, settings: dict[str, str]
) -> None:
    """In the vendor's own fields, and in the conventions of the entry."""
    with FakeBackend(path) as backend:
        given = {"_type": type_name, "endpoint": backend.base_url, "content": "truncate:30", **settings}
        file = write("w.json", json.dumps({"general": {"telemetry": {"tracing": {"prod": given}}}}))
        (entry,) = load_workflow(file).exporters
        raw = FileConfig.model_validate({"output_path": str(tmp_path / "raw.jsonl"), "format": "spans"})
        with Telemetry(entry, exporter_entry(raw, name="raw", redact="none")) as telemetry:
            replay(recorded_run("tool_call"), telemetry)
        received = {span.span_id: span.attributes for span in backend.spans}

    explained = asyncio.run(explain(entry, read_run(tmp_path / "raw.jsonl", None, {})))

    said = {
        f"{span.context.span_id:016x}": span.attributes
        for span in explained.result
        if isinstance(span, Span) and span.context
    }
    assert said == received
    assert received


def test_types_of_ours_say_what_they_take(tmp_path: Path) -> None:
    """As they do when they are built."""

    async def taken(subject: Subject) -> str:
        config = subject.config_type(output_path=str(tmp_path)) if subject.registration.type_name == "file" else None
        async with subject.registration.build(config or subject.config(), None) as exporter:
            kind = LaneView(exporter).takes
            await exporter.stop()
            return kind

    registrations = own_registrations()
    assert len(registrations) >= 10
    for registration in registrations:
        if registration.kind.name != "tracing":
            continue
        subject = Subject(registration, tmp_path)
        config = (
            subject.config_type(output_path=str(tmp_path)) if registration.type_name == "file" else subject.config()
        )
        assert config.item_kind() == asyncio.run(taken(subject)), registration.type_name


# -- processors of others --------------------------------------------------------------------------------------------------

OTHERS = """\
import asyncio
from nat.cli.register_workflow import register_telemetry_exporter, register_telemetry_processor
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability.processor.processor import Processor

class OddConfig(TelemetryProcessorBaseConfig, name="odd"):
    how: str

class Odd(Processor[Span, Span]):
    def __init__(self, how):
        self.how = how

    async def process(self, item):
        match self.how:
            case "in place":
                item.attributes["seen"] = "sesame-open-4711"
            case "raises":
                raise LookupError("sesame-open-4711")
            case "hangs":
                await asyncio.Event().wait()
            case "another type":
                return {"name": item.name}
            case "nothing":
                return None
        return item

@register_telemetry_processor(config_type=OddConfig)
async def odd(config, builder):
    if config.how == "does not start":
        raise ValueError("the key sesame-open-4711 is malformed")
    yield Odd(config.how)

class ElseConfig(TelemetryExporterBaseConfig, name="elsewhere"):
    api_key: str = "sesame-open-4711"

@register_telemetry_exporter(config_type=ElseConfig)
async def elsewhere(config, builder):
    raise AssertionError("nobody builds an exporter to explain it")
    yield

class StepsConfig(TelemetryProcessorBaseConfig, name="of_steps"):
    pass

class OfSteps(Processor[IntermediateStep, IntermediateStep]):
    async def process(self, item):
        return item

@register_telemetry_processor(config_type=StepsConfig)
async def of_steps(config, builder):
    yield OfSteps()
"""


def explained_with(write: Callable[[str, str], Path], recorded: Path, how: str, code: int = 0) -> dict[str, Any]:
    write("others.py", OTHERS)
    limit = ", timeout: 0.05" if how == "hangs" else ""
    text = entry("prod", f"_type: elsewhere\napi_key: {API_KEY}\nprocessors: [{{_type: odd, how: {how}{limit}}}]")
    write("w.yaml", f"plugins: [others]\n{text}")
    return report(recorded / "spans.jsonl", code=code)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raises", "processor_error: processor general.telemetry.tracing.prod.processors[0] (odd) raised LookupError"),
        ("hangs", "processor_timeout: processor general.telemetry.tracing.prod.processors[0] (odd) did not end within"),
        (
            "another type",
            "processor_error: processor general.telemetry.tracing.prod.processors[0] (odd) raised TypeError",
        ),
        ("nothing", "filtered"),
    ],
)
def test_what_a_processor_loses_is_said_with_the_reason(
    write: Callable[[str, str], Path], recorded: Path, how: str, reason: str
) -> None:
    found = explained_with(write, recorded, how)

    fates = stages_of(found, "prod")["prod.processors[0] (odd)"]
    assert fates.keys() == {"gpt", "pay", "shop"}
    assert all(fate.startswith(f"dropped {reason}") for fate in fates.values()), fates
    assert found["exporters"][0]["exported"] == 0


def test_a_change_in_place_is_seen_and_reaches_no_other_exporter(
    write: Callable[[str, str], Path], recorded: Path
) -> None:
    write("others.py", OTHERS)
    write(
        "w.yaml",
        """\
        plugins: [others]
        general:
          telemetry:
            tracing:
              one: {_type: otelcollector, processors: [{_type: odd, how: in place}]}
              other: {_type: otelcollector, redact: none, processors: [{_type: odd, how: passes}]}
        """,
    )

    found = report(recorded / "spans.jsonl")

    (stage,) = [stage for stage in found["exporters"][0]["stages"] if "odd" in stage["stage"]]
    assert [change["key"] for item in stage["items"] for change in item["changes"]] == ["seen"] * 3
    assert set(stages_of(found, "other")["other.processors[0] (odd)"].values()) == {"passed"}


def test_an_exporter_that_would_not_start_is_said(write: Callable[[str, str], Path], recorded: Path) -> None:
    broken = explained_with(write, recorded, "does not start", code=1)
    text = entry("prod", "_type: otelcollector\nprocessors: [{_type: of_steps}]")
    write("w.yaml", f"plugins: [others]\n{text}")
    misfit = report(recorded / "spans.jsonl", code=1)

    assert broken["exporters"][0]["problem"] == "would not start: ValueError: the key ********** is malformed"
    assert misfit["exporters"][0]["problem"] == (
        "would not start: general.telemetry.tracing.prod.processors[0] (of_steps): takes IntermediateStep, but exporter "
        "'prod' is given finished spans (Span); configure it for exporters of steps only"
    )


def test_exporters_of_others_are_not_built(write: Callable[[str, str], Path], recorded: Path) -> None:
    found = explained_with(write, recorded, "passes")

    assert found["exporters"][0]["problem"] is None
    assert found["exporters"][0]["exported"] == 3
    assert found["exporters"][0]["notes"] == [
        "what it takes is known only when it is built; spans are shown",
        "processors that its author has added come behind these, and are not shown",
    ]


# -- what it does not do ---------------------------------------------------------------------------------------------------

HOOK = """\
import os, sys

told = []

def hear(event, args):
    flags = args[2] if event == "open" and isinstance(args[2], int) else 0
    if flags & os.O_CREAT and not os.path.isdir(args[0]):  # a nameless file in a folder tells whether one could be made
        told.append(f"open {args[0]!r}")
    elif event in ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir",
                   "os.rename", "os.remove", "os.posix_spawn", "os.fork"):
        told.append(f"{event} {args[1:]!r}")

sys.addaudithook(hear)
from nat.cli.main import cli
try:
    cli(sys.argv[1:])
finally:
    sys.stderr.write("".join(f"HEARD {line}\\n" for line in told))
"""


def test_nothing_is_sent_opened_or_written(write: Callable[[str, str], Path], recorded: Path, tmp_path: Path) -> None:
    """With every exporter type of ours, spools and dead letters, and content that would be stored: no connection, no file."""
    with FakeBackend(grpc=True) as backend:
        keys = {
            "catalyst": {"access_key": "k", "secret_key": "s", "project": "p"},
            "console": {},
            "file": {"output_path": "./out/trail.jsonl"},
            "galileo": {"api_key": "k"},
            "langfuse": {"public_key": "k", "secret_key": "s"},
            "langsmith": {"api_key": "k"},
            "otelcollector": {},
            "patronus": {"api_key": "k", "protocol": "http"},
            "phoenix": {},
            "weave": {"api_key": "k", "project": "e/p"},
        }
        assert keys.keys() == OWN_TYPES.keys()
        local = {"console", "file"}
        tracing = {
            type_name: {
                "_type": type_name,
                **settings,
                **({} if type_name in local else {"endpoint": backend.base_url}),
                "content": {"offload": {"to": "./blobs", "over_chars": 1}},
                "delivery": {"spool": {"directory": "./spool"}, "dead_letters": {"directory": "./letters"}},
            }
            for type_name, settings in keys.items()
        }
        write("w.json", json.dumps({"general": {"telemetry": {"status_directory": "./status", "tracing": tracing}}}))
        write("hook.py", HOOK)
        before = sorted(path for path in tmp_path.rglob("*") if path.is_file())

        done = subprocess.run(
            [sys.executable, "hook.py", "explain", "--config_file", "w.json", "--run", str(recorded / "steps.jsonl")],
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=180,
        )

        assert done.returncode == 0, done.stderr
        assert [line for line in done.stderr.splitlines() if line.startswith("HEARD")] == []
        assert done.stdout.count("exported: ") == len(keys)
        assert "blobs/" in done.stdout
        assert backend.requests == []
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_secrets_are_never_shown(write: Callable[[str, str], Path], recorded: Path, options: tuple[str, ...]) -> None:
    """Neither those that were recorded, also where an exporter does not redact, nor those of the configuration."""
    write("others.py", OTHERS)
    write(
        "w.yaml",
        f"""\
        plugins: [others]
        general:
          telemetry:
            tracing:
              bare:
                _type: phoenix
                redact: none
                api_key: {API_KEY}
                content: truncate:500
                processors: [{{_type: odd, how: in place}}, {{_type: filter, action: drop, when: {{name: pay}}}}]
              personal:
                _type: phoenix
                redact: none
                processors: [{{_type: redact, profile: pii}}, {{_type: odd, how: raises}}]
              routed:
                _type: langfuse
                processors:
                  - _type: route
                    by: tenant
                    routes: {{acme: {{public_key: p, secret_key: {API_KEY}}}}}
                    otherwise: withhold
        """,
    )

    for form in ("spans.jsonl", "steps.jsonl"):
        result = nat_explain(recorded / form, *options)
        assert result.exit_code == 0, result.output
        assert CANARY not in result.output
        assert API_KEY not in result.output
        assert "seen" in result.output


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_no_secret_is_shown_wherever_it_was_put(
    write: Callable[[str, str], Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Hundreds of them, in names, ids, keys, metadata, messages, errors; exporters that redact, and some that do not."""
    planted = canaries(SECRETS, 4)
    configs = {
        form: FileConfig.model_validate({"output_path": str(tmp_path / name), "format": form})
        for form, name in _FORMATS.items()
    }
    with Telemetry(configs, redact="none") as telemetry:
        plant(telemetry, planted)
    write("others.py", OTHERS)
    write(
        "w.yaml",
        """\
        plugins: [others]
        general:
          telemetry:
            tracing:
              bare: {_type: phoenix, redact: none, content: truncate:2000, processors: [{_type: odd, how: in place}]}
              renamed: {_type: otelcollector, redact: none, conventions: gen_ai}
              redacted: {_type: otelcollector, redact: pii, when: {kind: llm}}
              steps: {_type: console, redact: none, content: none}
        """,
    )
    shown = []

    for form in ("spans.jsonl", "steps.jsonl", "otlp.jsonl"):
        shown.append(nat_explain(tmp_path / form, "--run_id", "").output)
        recorded_ids = (
            list(read_runs(tmp_path / form)) if form == "steps.jsonl" else ids_of(read_spans(tmp_path / form))
        )
        for run_id in recorded_ids[:3]:
            result = nat_explain(tmp_path / form, "--run_id", run_id, *options)
            assert result.exit_code == 0, result.output
            shown.append(result.output)

    assert len("".join(shown)) > 50_000
    assert found_in("".join(shown).encode(), planted) == []


def ids_of(spans: Iterable[Span]) -> list[str]:
    """Their traces."""
    return list(dict.fromkeys(f"{span.context.trace_id:032x}" for span in spans if span.context is not None))


def test_what_a_processor_takes_out_is_not_shown(write: Callable[[str, str], Path], recorded: Path) -> None:
    write("w.yaml", entry("prod", "_type: phoenix\nredact: none\nprocessors: [{_type: redact, profile: pii}]"))

    result = nat_explain(recorded / "spans.jsonl")

    assert "[REDACTED:email]" in result.stdout
    assert "ada@example.org" not in result.stdout


# -- wrong files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "wrong.jsonl: holds no run; expected a file that the exporter `file` has written"),
        ("general: {}\n", "wrong.jsonl:1: not JSON: "),
        ('{"a": 1}\n', "wrong.jsonl:1: expected spans, found an object of another format; expected a file that"),
        ('{"span_id": "1", "name": 3}\n', "wrong.jsonl:1: not in the expected form"),
        ('{"payload": 5}\n', "wrong.jsonl:1: "),
        ("[1]\n", "wrong.jsonl:1: expected a JSON object, found list; expected a file that"),
        (None, "wrong.jsonl: no such file; expected a file that the exporter `file` has written"),
    ],
)
def test_what_is_no_recording_is_said(write: Callable[[str, str], Path], content: str | None, said: str) -> None:
    write("w.yaml", entry("prod", "_type: otelcollector"))
    if content is not None:
        write("wrong.jsonl", content)

    result = nat_explain(Path("wrong.jsonl"))

    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {said}"), result.stderr


def test_wrong_options_are_said(write: Callable[[str, str], Path], recorded: Path) -> None:
    file = recorded / "spans.jsonl"
    write("w.yaml", entry("prod", "_type: otelcollector"))
    write("empty.yaml", "general: {}\n")

    no_exporter, no_run = nat_explain(file, "--exporter", "prd"), nat_explain(file, "--run_id", "zz")
    several, no_pair = nat_explain(file, "--run_id", ""), nat_explain(file, "--metadata", "tenant")
    nothing = nat_explain(file, file="empty.yaml")

    assert no_exporter.stderr == "Error: w.yaml: has no exporter 'prd'; it has: prod.\n"
    assert re.fullmatch(
        r"Error: .*spans\.jsonl: --run_id zz: no run of that id; its runs: \w+ earlier, \w+ shop\.\n", no_run.stderr
    )
    assert "--run_id : several runs begin so; its runs:" in several.stderr
    assert "'tenant' is no KEY=VALUE, such as tenant=acme." in no_pair.stderr
    assert nothing.stderr.startswith("Error: empty.yaml: configures no exporter")
    assert {one.exit_code for one in (no_exporter, no_run, several, no_pair, nothing)} == {2}


def test_names_of_other_conventions_are_noted(write: Callable[[str, str], Path], tmp_path: Path) -> None:
    write(
        "record.yaml", entry("x", f"_type: file\nformat: spans\nconventions: gen_ai\noutput_path: {tmp_path}/x.jsonl")
    )
    write("w.yaml", entry("prod", "_type: otelcollector"))
    with Telemetry.from_file("record.yaml") as telemetry, telemetry.run("shop"):
        pass

    assert "It was recorded in other names than OpenInference's" in nat_explain(tmp_path / "x.jsonl").stdout


def test_a_folder_with_a_run_in_two_formats_has_it_once(write: Callable[[str, str], Path], recorded: Path) -> None:
    (recorded / "steps.jsonl").unlink()
    write("w.yaml", entry("prod", "_type: otelcollector"))

    assert report(recorded)["run"]["count"] == 3
