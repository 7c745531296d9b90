"""Exporters in a workflow file: what is read, and what is said when it is wrong."""

import logging
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.errors import ConfigurationError
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry
from nat.observability.registry import default_registry
from tests.support.collecting import Received, StepCollector, emit, types_and_names
from tests.support.missing import INSTALL_COMMAND, forget_package

Write = Callable[[str], Path]


class SinkConfig(TelemetryExporterBaseConfig, name="file_sink"):
    """Keeps steps under its prefix."""

    prefix: str = "[TRACE]"
    endpoint: str = "https://default.example"
    count: int = 1


class OtherConfig(TelemetryExporterBaseConfig, name="file_other"):
    """Needs an endpoint and a key."""

    endpoint: str = Field(description="Where to")
    api_key: SecretStr = Field(description="Key")


CONFIGS: list[Any] = []
SINKS: dict[str, Received[IntermediateStep]] = {}


@pytest.fixture(autouse=True)
def _types() -> Iterator[None]:
    CONFIGS.clear()
    SINKS.clear()
    with default_registry.preserved():

        @register_telemetry_exporter(config_type=SinkConfig)
        async def sink(config: SinkConfig, builder: Builder) -> AsyncIterator[StepCollector]:
            CONFIGS.append(config)
            exporter = StepCollector()
            SINKS[config.prefix] = exporter.received
            yield exporter

        @register_telemetry_exporter(config_type=OtherConfig)
        async def other(config: OtherConfig, builder: Builder) -> AsyncIterator[StepCollector]:
            CONFIGS.append(config)
            exporter = StepCollector()
            SINKS["other"] = exporter.received
            yield exporter

        yield


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(tracing: str) -> Path:
        path = tmp_path / "workflow.yaml"
        head = "general:\n  telemetry:\n    tracing:\n"
        path.write_text(head + textwrap.indent(textwrap.dedent(tracing).strip("\n"), "      ") + "\n")
        return path

    return write


def problems(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught, Telemetry.from_file(path):
        pass
    return str(caught.value)


@pytest.mark.contract("S1", "S50", "S54", "S55", "S99", "S100", "S102")
def test_entries_of_any_name_and_of_one_or_several_types_all_receive_every_event(write: Write) -> None:
    path = write(
        """
        custom_exporter: {_type: file_sink, prefix: "[A]"}
        phoenix_local:
          _type: file_sink
          prefix: "[B]"
        default: {_type: file_sink}
        something else: {_type: file_other, endpoint: "https://a.example", api_key: k}
        """
    )

    with Telemetry.from_file(path) as telemetry, telemetry.run("run"):
        emit("work")

    events = [
        ("WORKFLOW_START", "run"),
        ("FUNCTION_START", "work"),
        ("FUNCTION_END", "work"),
        ("WORKFLOW_END", "run"),
    ]
    assert {name: types_and_names(received.items) for name, received in SINKS.items()} == {
        "[A]": events,
        "[B]": events,
        "[TRACE]": events,
        "other": events,
    }


@pytest.mark.contract("D30")
def test_the_toolkits_own_keys_are_split_off(write: Write) -> None:
    """`enabled: false` leaves an entry out; `required` does not reach the config class."""
    path = write(
        """
        on: {_type: file_sink, prefix: "on", enabled: true, required: true}
        off: {_type: file_sink, prefix: "off", enabled: false}
        """
    )

    with Telemetry.from_file(path) as telemetry, telemetry.run("run"):
        pass

    assert list(SINKS) == ["on"]
    assert [config.model_dump() for config in CONFIGS] == [
        {"prefix": "on", "endpoint": "https://default.example", "count": 1}
    ]


@pytest.mark.contract("S101", "S167", "S197", "D22", "D23")
def test_variables_are_taken_from_the_environment(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole values, parts and defaults; a bare `$VAR` stays; values cannot break the YAML and are inserted once."""
    monkeypatch.setenv("CONTRACT_PREFIX", 'x: [1, "2"] # ${CONTRACT_HOST}')
    monkeypatch.setenv("CONTRACT_HOST", "host.example")
    monkeypatch.setenv("CONTRACT_COUNT", "7")
    path = write(
        """
        first: {_type: file_sink, prefix: "${CONTRACT_PREFIX}"}
        second:
          _type: file_sink
          prefix: $CONTRACT_HOST
          endpoint: https://${CONTRACT_HOST}/v1/${CONTRACT_UNSET:-traces}
          count: ${CONTRACT_COUNT}
        """
    )

    with Telemetry.from_file(path):
        pass

    seen = sorted((config.prefix, config.endpoint, config.count) for config in CONFIGS)
    assert seen == [
        ("$CONTRACT_HOST", "https://host.example/v1/traces", 7),
        ('x: [1, "2"] # ${CONTRACT_HOST}', "https://default.example", 1),
    ]


@pytest.mark.contract("D22")
def test_an_unset_variable_is_an_empty_string_and_a_warning(
    write: Write, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("CONTRACT_UNSET", raising=False)
    path = write('first: {_type: file_sink, prefix: "${CONTRACT_UNSET}"}')

    with Telemetry.from_file(path):
        pass

    assert [config.prefix for config in CONFIGS] == [""]
    [record] = [record for record in caplog.records if "CONTRACT_UNSET" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert "general.telemetry.tracing.first.prefix" in record.getMessage()


@pytest.mark.contract("D22", "S162")
def test_an_unset_variable_in_a_required_secret_is_an_error(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTRACT_UNSET", raising=False)
    path = write('first: {_type: file_other, endpoint: "x", api_key: "${CONTRACT_UNSET}"}')

    said = problems(path)

    assert "general.telemetry.tracing.first.api_key" in said
    assert "CONTRACT_UNSET" in said


@pytest.mark.contract("S104", "S173", "S162")
def test_an_unknown_type_names_entry_value_known_types_and_the_way_out(write: Write) -> None:
    said = problems(write("mine: {_type: file_snk}"))

    assert "general.telemetry.tracing.mine" in said
    assert "'file_snk'" in said
    assert "file_sink" in said
    assert "file_other" in said
    assert "registered" in said
    assert "plugins" in said


@pytest.mark.contract("S198", "D1")
def test_a_type_of_ours_that_is_not_installed_gives_the_install_command(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_package(monkeypatch)

    said = problems(write("prod: {_type: pigeon}"))

    assert "general.telemetry.tracing.prod" in said
    assert INSTALL_COMMAND in said


@pytest.mark.contract("S70", "S162")
def test_a_missing_field_is_named_with_its_path(write: Write) -> None:
    said = problems(write("mine: {_type: file_other, api_key: k}"))

    assert "general.telemetry.tracing.mine.endpoint" in said


@pytest.mark.contract("S70", "S162")
def test_a_wrong_type_is_named_with_its_path(write: Write) -> None:
    said = problems(write("mine: {_type: file_sink, count: many}"))

    assert "general.telemetry.tracing.mine.count" in said
    assert "many" in said or "integer" in said


@pytest.mark.contract("D2")
def test_an_unknown_key_gets_a_suggestion(write: Write) -> None:
    said = problems(write("mine: {_type: file_sink, prefx: x}"))

    assert "general.telemetry.tracing.mine" in said
    assert "'prefx'" in said
    assert "'prefix'" in said


@pytest.mark.contract("S54")
def test_an_entry_without_type_is_an_error(write: Write) -> None:
    said = problems(write("mine: {prefix: x}"))

    assert "general.telemetry.tracing.mine" in said
    assert "_type" in said


@pytest.mark.contract("S103")
def test_a_syntax_error_is_reported_with_its_position(write: Write) -> None:
    path = write("mine: {_type: file_sink\nother: [")

    said = problems(path)

    assert said.startswith(f"{path}:")
    assert any(f":{line}:" in said for line in (4, 5, 6))


@pytest.mark.contract("S162")
def test_a_missing_file_is_reported_by_name(tmp_path: Path) -> None:
    said = problems(tmp_path / "not_there.yaml")

    assert "not_there.yaml" in said


@pytest.mark.contract("S70", "S104", "D2")
def test_all_problems_are_reported_at_once_with_their_lines(write: Write) -> None:
    path = write(
        """
        first: {_type: nobody_knows}
        second: {_type: file_other, api_key: k}
        third: {_type: file_sink, colour: red}
        """
    )

    with pytest.raises(ConfigurationError) as caught, Telemetry.from_file(path):
        pass

    found = {(problem.line, (problem.path or "").split(".")[3]) for problem in caught.value.problems}
    assert found == {(4, "first"), (5, "second"), (6, "third")}
    assert {problem.file for problem in caught.value.problems} == {path}


@pytest.mark.contract("D31", "S166")
def test_no_secret_in_configuration_errors(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRACT_KEY", "hunter2-hunter2")
    path = write('mine: {_type: file_other, api_key: "${CONTRACT_KEY}", colour: red}')

    assert "hunter2" not in problems(path)


@pytest.mark.contract("S19")
def test_a_file_without_telemetry_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "workflow.yaml"
    path.write_text("general: {}\n")

    with Telemetry.from_file(path) as telemetry:
        with telemetry.run("run") as run:
            emit("work")
            run.output = "done"
        assert telemetry.status().exporters == {}


@pytest.mark.contract("S2", "S102")
def test_a_module_named_under_plugins_registers_its_exporters(tmp_path: Path) -> None:
    (tmp_path / "my_tracing.py").write_text(
        textwrap.dedent(
            """
            from nat.cli.register_workflow import register_telemetry_exporter
            from nat.data_models.intermediate_step import IntermediateStep
            from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
            from nat.observability.exporter.raw_exporter import RawExporter
            from pathlib import Path

            class Exporter(RawExporter[IntermediateStep, IntermediateStep]):
                async def export_processed(self, item):
                    with Path(__file__).with_name("seen.txt").open("a") as out:
                        print(item.event_type, file=out)

            class Config(TelemetryExporterBaseConfig, name="from_a_plugin_file"):
                pass

            @register_telemetry_exporter(config_type=Config)
            async def build(config, builder):
                yield Exporter()
            """
        )
    )
    path = tmp_path / "workflow.yaml"
    path.write_text(
        "plugins: [./my_tracing.py]\ngeneral: {telemetry: {tracing: {mine: {_type: from_a_plugin_file}}}}\n"
    )

    with Telemetry.from_file(path) as telemetry, telemetry.run("run"):
        pass

    assert (tmp_path / "seen.txt").read_text().split() == ["WORKFLOW_START", "WORKFLOW_END"]
