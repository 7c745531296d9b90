"""Redaction of what a configuration exports: by default, for one exporter or for all, once for many, and failing closed."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import RedactConfig, Telemetry, exporter_entry, step
from nat.observability.processor.processor import Processor
from nat.observability.redaction.redactor import Redactor
from nat.observability.spans import describe
from tests.delivery.programs import run_program
from tests.support.collecting import DictCollector, SpanCollector, StepCollector, emit, registered
from tests.support.processing import registered_processor

KEY = "sk-proj-Abcdefghijklmnop1234567890"
MAIL = "bob@example.com"


def run(telemetry: Telemetry) -> None:
    with telemetry.run("run", input=f"{KEY} {MAIL}", metadata={"password": "hunter2"}), step("work", input={"k": KEY}):
        pass


def text_of(collector: SpanCollector | StepCollector | DictCollector) -> str:
    return "\n".join(
        item.model_dump_json() if isinstance(item, Span | IntermediateStep) else json.dumps(item)
        for item in collector.received.items
    )


@pytest.mark.parametrize("make", [SpanCollector, StepCollector, DictCollector])
def test_secrets_are_taken_out_by_default(make: Any) -> None:
    collector = make()

    with Telemetry(registered(lambda: collector)()) as telemetry:
        run(telemetry)

    text = text_of(collector)
    assert "[REDACTED:api_key]" in text
    assert KEY not in text
    assert MAIL in text
    assert "hunter2" not in text or make is StepCollector  # a run's metadata is no part of its steps


def test_rules_differ_by_exporter() -> None:
    """Three exporters of one configuration, three results of the same run."""
    collectors = {name: SpanCollector() for name in ("default", "pii", "none", "more")}
    configs = {name: registered(lambda made=made: made)() for name, made in collectors.items()}  # type: ignore[misc]  # mypy 1 cannot infer it
    entries = [
        exporter_entry(configs["default"], name="default"),
        exporter_entry(configs["pii"], name="pii", redact="pii"),
        exporter_entry(configs["none"], name="none", redact="none"),
        exporter_entry(configs["more"], name="more", redact=RedactConfig(action="mask", fields=["input.value"])),
    ]

    with Telemetry(*entries) as telemetry:
        run(telemetry)

    inputs = {name: made.by_name()["run"].attributes["input.value"] for name, made in collectors.items()}
    assert inputs == {
        "default": f"[REDACTED:api_key] {MAIL}",
        "pii": "[REDACTED:api_key] [REDACTED:email]",
        "none": f"{KEY} {MAIL}",
        "more": "********",
    }


def test_what_is_said_for_all_holds_where_an_exporter_says_nothing() -> None:
    first, second = SpanCollector(), SpanCollector()
    entry = exporter_entry(registered(lambda: second)(), redact="secrets")

    with Telemetry(registered(lambda: first)(), entry, redact="pii") as telemetry:
        run(telemetry)

    assert MAIL not in text_of(first)
    assert MAIL in text_of(second)


def test_from_a_workflow_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile, `off`, or a mapping; general and for one."""
    monkeypatch.setenv("HASH_KEY", "0123456789abcdef")
    file = tmp_path / "w.yaml"
    file.write_text(
        f"""\
general:
  telemetry:
    redact: pii
    tracing:
      a: {{_type: file, output_path: {tmp_path}/a.jsonl, format: spans}}
      b: {{_type: file, output_path: {tmp_path}/b.jsonl, format: spans, redact: off}}
      c:
        _type: file
        output_path: {tmp_path}/c.jsonl
        format: spans
        redact: {{profile: secrets, action: hash, hash_key: "${{HASH_KEY}}"}}
        processors: [{{_type: redact, profile: none, fields: [user.id]}}]
"""
    )

    with Telemetry.from_file(file) as telemetry, telemetry.run("run", input=f"{KEY} {MAIL}", user_id="bob"):
        pass

    lines = {name: json.loads((tmp_path / f"{name}.jsonl").read_text())["attributes"] for name in "abc"}
    assert lines["a"]["input.value"] == "[REDACTED:api_key] [REDACTED:email]"
    assert lines["b"]["input.value"] == f"{KEY} {MAIL}"
    assert lines["c"]["input.value"].startswith("hmac:")
    assert lines["c"]["input.value"].endswith(MAIL)
    assert [lines[name]["user.id"] for name in "abc"] == ["bob", "bob", "[REDACTED:field]"]


class LeakingProcessor(Processor[Span, Span]):
    """Puts a secret into what it is given."""

    async def process(self, item: Span) -> Span:
        return item.model_copy(update={"attributes": {**item.attributes, "added": KEY}})


def test_what_processors_add_is_looked_at_once_more() -> None:
    """The author's, and configured ones; also where they make other things than spans."""

    class Writing(Processor[Span, str]):
        async def process(self, item: Span) -> str:
            return f"{item.name}: token {KEY}"

    class TextCollector(SpanCollector):
        async def export_processed(self, item: Any) -> None:
            self.received.add(item)

    def with_authors() -> SpanCollector:
        spans.add_processor(LeakingProcessor())
        return spans

    def with_texts() -> TextCollector:
        texts._pipeline._output_type = str
        texts.add_processor(Writing())
        return texts

    spans, texts, configured = SpanCollector(), TextCollector(), SpanCollector()
    entry = exporter_entry(registered(lambda: configured)(), processors=[registered_processor(LeakingProcessor)()])

    with Telemetry(registered(with_authors)(), registered(with_texts)(), entry) as telemetry:
        run(telemetry)

    assert [span.attributes["added"] for span in spans.received.items] == ["[REDACTED:api_key]"] * 2
    assert [span.attributes["added"] for span in configured.received.items] == ["[REDACTED:api_key]"] * 2
    assert sorted(map(str, texts.received.items)) == ["run: token [REDACTED:api_key]", "work: token [REDACTED:api_key]"]


def test_what_an_own_export_submits_is_looked_at_once_more() -> None:
    class Own(StepCollector):
        def export(self, event: IntermediateStep) -> None:
            super().export(event.model_copy(update={"parent_id": "root"}, deep=True))
            leaking = event.model_copy(update={"payload": event.payload.model_copy(update={"name": KEY})})
            super().export(leaking)

    collector = Own()

    with Telemetry(registered(lambda: collector)()) as telemetry:
        run(telemetry)

    assert len(collector.received.items) == 8
    assert KEY not in text_of(collector)


@pytest.mark.parametrize("make", [SpanCollector, StepCollector])
def test_redaction_that_fails_lets_nothing_out(
    make: type[SpanCollector], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Items are dropped and counted, the log says so without their content, and other exporters go on."""
    real = Redactor.is_clean

    def fail(self: Redactor, data: bytes) -> bool:
        if b"work" in data:
            raise RuntimeError(f"cannot read {data!r}")
        return real(self, data)

    monkeypatch.setattr(Redactor, "is_clean", fail)
    collector, other = make(), SpanCollector()
    entries = [
        exporter_entry(registered(lambda: collector)(), name="mine"),
        exporter_entry(registered(lambda: other)(), name="other", redact="none"),
    ]

    with Telemetry(*entries) as telemetry:
        run(telemetry)
    status = telemetry.status().exporters

    assert {item.name for item in collector.received.items} == {"run"}
    lost = 1 if make is SpanCollector else 2
    assert (status["mine"].dropped, status["mine"].pending) == ({"processor_error": lost}, 0)
    assert status["other"].delivered == 2
    assert "mine: redaction raised RuntimeError" in caplog.text
    assert KEY not in caplog.text


def test_redaction_that_fails_is_counted_for_exporters_that_make_spans_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They accept what they submit, so what never came so far is accepted and dropped at once."""

    class Own(SpanCollector):
        def export(self, event: IntermediateStep) -> None:
            super().export(event)

    def fail(self: Redactor, data: bytes) -> bool:
        raise RuntimeError

    monkeypatch.setattr(Redactor, "is_clean", fail)
    collector = Own()

    with Telemetry({"mine": registered(lambda: collector)()}) as telemetry:
        run(telemetry)
    status = telemetry.status().exporters["mine"]

    assert collector.received.items == []
    assert (status.accepted, status.dropped, status.pending) == (4, {"processor_error": 4}, 0)


def test_patterns_that_are_too_large_let_nothing_out() -> None:
    collector = SpanCollector()
    patterns = {f"p{number}": f"x{number}" + "(?:a{1,30}b{1,30}){1,20}" for number in range(400)}
    entry = exporter_entry(registered(lambda: collector)(), name="mine", redact=RedactConfig(patterns=patterns))

    with Telemetry(entry) as telemetry:
        run(telemetry)
    status = telemetry.status().exporters["mine"]

    assert status.reason == (
        "ValueError: the patterns for redaction are too large together; use fewer, or simpler ones"
    )
    assert collector.received.items == []


def test_a_second_look_that_fails_lets_nothing_out(caplog: pytest.LogCaptureFixture) -> None:
    """Bytes of the author's that hold a secret and are no text."""

    class Packing(Processor[Span, bytes]):
        async def process(self, item: Span) -> bytes:
            return b"\xff\x00" + (KEY if item.name == "work" else "fine").encode()

    class BytesCollector(SpanCollector):
        async def export_processed(self, item: Any) -> None:
            self.received.add(item)

    def build() -> BytesCollector:
        collector._pipeline._output_type = bytes
        collector.add_processor(Packing())
        return collector

    collector = BytesCollector()

    with Telemetry({"mine": registered(build)()}) as telemetry:
        run(telemetry)

    assert list[Any](collector.received.items) == [b"\xff\x00fine"]
    assert telemetry.status().exporters["mine"].dropped == {"processor_error": 1}
    assert KEY not in caplog.text


def test_exporters_that_want_the_same_share_one_description(monkeypatch: pytest.MonkeyPatch) -> None:
    """A span is redacted and described once for all of them, and once more for one that wants something else."""
    described: list[str] = []
    real = describe._describe

    def counted(captured: Any) -> Any:
        described.append(captured.start.name)
        return real(captured)

    monkeypatch.setattr(describe, "_describe", counted)
    collectors = [SpanCollector() for _ in range(4)]
    entries = [exporter_entry(registered(lambda made=made: made)(), delivery=None) for made in collectors[:3]]  # type: ignore[misc]  # mypy 1 cannot infer it
    entries.append(exporter_entry(registered(lambda: collectors[3])(), redact="none"))

    with Telemetry(*entries) as telemetry, telemetry.run("clean"):
        with step("dirty", input=KEY):
            pass

    assert [made.by_name()["dirty"].attributes["input.value"] for made in collectors] == [
        *["[REDACTED:api_key]"] * 3,
        KEY,
    ]
    assert described.count("clean") <= 2  # two threads may be at it at the same time
    assert 2 <= described.count("dirty") <= 4


async def test_exporters_that_user_code_starts_redact_nothing() -> None:
    """Only a configuration has rules: whoever starts an exporter by hand gets what was captured."""
    collector = SpanCollector()

    async with collector.start():
        emit("work", input=KEY)

    assert collector.by_name()["work"].attributes["input.value"] == KEY


def test_what_an_exporter_says_of_itself_is_redacted_too(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"

    class ProjectConfig(TelemetryExporterBaseConfig, name="with_project"):
        """Writes a file under a project that should not be shown."""

    @register_telemetry_exporter(config_type=ProjectConfig)
    async def build(config: ProjectConfig, builder: Builder) -> AsyncIterator[Any]:
        from nat.plugins.file.file_exporter import FileExporter

        yield FileExporter(file, project=f"shop {KEY}")

    with Telemetry(ProjectConfig()) as telemetry:
        run(telemetry)

    assert {json.loads(line)["project"] for line in file.read_text().splitlines()} == {"shop [REDACTED:api_key]"}


FORKING = f"""\
import os
from nat.observability import Telemetry, step
from nat.plugins.file.register import FileConfig

def run():
    with telemetry.run("run", input="{KEY}"), step("work", input={{"k": "{KEY}"}}):
        pass

telemetry = Telemetry(FileConfig(output_path="out.jsonl", format="spans")).start()
run()
telemetry.flush()
child = os.fork()
run()
telemetry.close()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_child_redacts_with_patterns_of_its_own(tmp_path: Path) -> None:
    """The parent's may be locked by a search that was going on when it forked."""
    result = run_program(FORKING, tmp_path, is_measured=False)

    lines = (tmp_path / "out.jsonl").read_text()
    assert (result.returncode, result.stderr) == (0, "")
    assert len(lines.splitlines()) == 6
    assert KEY not in lines
    assert lines.count("[REDACTED:api_key]") >= 6
