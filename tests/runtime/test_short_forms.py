"""Keys of an exporter's entry that stand for processors: `when`, `sample`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nat.observability import Telemetry, step
from nat.observability.registry import ExporterEntry
from nat.plugins.file.reader import read_spans
from nat.plugins.filter.register import FilterConfig
from nat.plugins.sample.register import KeepConfig, SampleConfig
from nat.runtime.loader import load_workflow
from tests.runtime.test_loader import problems_of

WriteFile = Callable[[str, str], Path]


def entry_of(write: WriteFile, lines: str, general: str = "[]") -> ExporterEntry:
    """The entry of an exporter of spans to `out.jsonl`, with these lines in it."""
    file = write(
        "w.yaml",
        f"""\
general:
  telemetry:
    processors: {general}
    tracing:
      out:
        _type: file
        output_path: ./out.jsonl
        format: spans
        {lines}
""",
    )
    return load_workflow(file, entrypoint="optional").exporters[0]


def test_when_is_a_filter_that_keeps(write: WriteFile) -> None:
    entry = entry_of(write, "when: {kind: tool, status: error}")

    (processor,) = entry.processors
    assert processor.config == FilterConfig.model_validate(
        {"action": "keep", "when": {"kind": ["TOOL"], "status": "error"}}
    )
    assert processor.path == "general.telemetry.tracing.out.when"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0.25", SampleConfig(ratio=0.25)),
        ("1", SampleConfig(ratio=1)),
        ("'0.5'", SampleConfig(ratio=0.5)),
        ("{ratio: 0.1, keep: errors}", SampleConfig(ratio=0.1, keep=KeepConfig(errors=True))),
        ("{_type: sample, ratio: 0.1}", SampleConfig(ratio=0.1)),
    ],
)
def test_sample_is_a_share_or_all_that_a_sampler_takes(write: WriteFile, written: str, meant: SampleConfig) -> None:
    (processor,) = entry_of(write, f"sample: {written}").processors

    assert processor.config == meant


def test_they_come_before_the_list_and_behind_what_is_for_all(write: WriteFile) -> None:
    """Whatever their order in the file; a filter first, so that what it leaves out does not wait for a sampler."""
    entry = entry_of(
        write,
        "sample: 1\n        processors: [{_type: redact}]\n        when: {kind: tool}",
        general="[{_type: filter, action: drop, when: {name: x}}]",
    )

    assert [processor.path.removeprefix("general.telemetry.") for processor in entry.processors] == [
        "processors[0]",
        "tracing.out.when",
        "tracing.out.sample",
        "tracing.out.processors[0]",
    ]


def test_processors_own_keys_go_with_a_mapping(write: WriteFile) -> None:
    (processor,) = entry_of(write, "sample: {ratio: 0.1, timeout: 3}").processors

    assert processor.timeout_s == 3
    assert entry_of(write, "sample: {ratio: 0.1, enabled: false}").processors == ()
    assert entry_of(write, "sample:").processors == ()


def test_what_they_say_is_done(write: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entry = entry_of(write, "when: {kind: tool}\n        sample: {ratio: 0, keep: errors}")

    with Telemetry(entry) as telemetry:
        with telemetry.run("fine"), step("look_up", kind="tool"):
            pass
        with pytest.raises(ValueError, match="no"), telemetry.run("broken"), step("pay", kind="tool"):
            raise ValueError("no")

    assert [span.name for span in read_spans(tmp_path / "out.jsonl")] == ["pay"]
    assert telemetry.status().exporters["out"].dropped == {"filtered": 2, "sampled_out": 1}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("when: {kind: [hammer]}", ".when.kind[0]: should be 'AGENT', 'CHAIN',"),
        ("when: {knid: tool}", ".when.knid: unknown key 'knid'; did you mean 'kind'?"),
        ("when: tool", ".when: should be a valid dictionary or instance of WhenConfig, got 'tool'"),
        ("when: {}", ".when: is empty, expected at least one of: kind, name, tag,"),
        ("sample: 1.5", ".sample: should be less than or equal to 1, got 1.5"),
        ("sample: some", ".sample: should be a valid number, unable to parse string as a number, got 'some'"),
        ("sample: off", ".sample: is false, expected a share from 0 to 1; leave it out to send all runs"),
        ("sample: {ratoi: 0.5}", ".sample.ratoi: unknown key 'ratoi'; did you mean 'ratio'?"),
        ("sample: {ratio: -1}", ".sample.ratio: should be greater than or equal to 0, got -1"),
        (
            "sample: {_type: redact, ratio: 1}",
            ".sample._type: sample is processor sample; name others under processors:",
        ),
    ],
)
def test_mistakes_are_told_where_they_are(write: WriteFile, written: str, said: str) -> None:
    """With the path that the file has, and not that of a list which is not there."""
    file = write("w.yaml", f"general: {{telemetry: {{tracing: {{a: {{_type: console, {written}}}}}}}}}\n")

    problems = problems_of(file)

    head = "general.telemetry.tracing.a"
    assert any(problem.partition(": ")[2].startswith(head + said) for problem in problems), problems
