"""Registration functions: what they get, when they run, what they may do."""

import asyncio
import importlib
import logging
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from nat.builder.builder import Builder
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.errors import ConfigurationError
from nat.data_models.span import Span
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import Telemetry
from nat.observability.exporter.base_exporter import BaseExporter
from nat.observability.registry import components, default_registry, resolve
from tests.support.collecting import Received, SpanCollector, StepCollector, emit, registered


@pytest.fixture(autouse=True)
def _registry() -> Iterator[None]:
    with default_registry.preserved():
        yield


@pytest.mark.contract("S84", "S85", "S86", "S87")
def test_the_function_gets_config_and_builder_and_its_exporter_is_the_one_in_use() -> None:
    entries: list[Any] = []
    received = Received[Span]()

    class Config(TelemetryExporterBaseConfig, name="registration_plain"):
        prefix: str

    @register_telemetry_exporter(config_type=Config)
    async def plain(config: Config, builder: Builder) -> AsyncIterator[BaseExporter]:
        entries.append((config.prefix, isinstance(builder, Builder), asyncio.get_running_loop().is_running()))
        try:
            yield SpanCollector(received)
        finally:
            entries.append("after")

    with Telemetry({"plain": Config(prefix="[A]")}) as telemetry, telemetry.run("run"):
        telemetry.flush(60.0)
        assert entries == [("[A]", True, True)]

    assert [span.name for span in received.items] == ["run"]
    assert entries == [("[A]", True, True), "after"]


@pytest.mark.contract("S84", "S86", "S87")
async def test_the_decorated_function_is_a_context_manager_factory_for_tests() -> None:
    """Builder may be `None` or a mock when the function does not use it."""
    entries: list[str] = []

    class Config(TelemetryExporterBaseConfig, name="registration_factory"):
        pass

    @register_telemetry_exporter(config_type=Config)
    async def factory(config: Config, builder: Builder) -> AsyncIterator[BaseExporter]:
        entries.append("before")
        yield StepCollector()
        entries.append("after")

    async with factory(Config(), None) as exporter:
        assert isinstance(exporter, StepCollector)
        assert entries == ["before"]
    assert entries == ["before", "after"]


@pytest.mark.contract("S84", "S86")
async def test_what_is_not_an_exporter_is_a_type_error_naming_the_function() -> None:
    class Config(TelemetryExporterBaseConfig, name="registration_wrong"):
        pass

    @register_telemetry_exporter(config_type=Config)
    async def yields_a_string(config: Config, builder: Builder) -> AsyncIterator[Any]:
        yield "not an exporter"

    class Other(TelemetryExporterBaseConfig, name="registration_empty"):
        pass

    @register_telemetry_exporter(config_type=Other)
    async def yields_nothing(config: Other, builder: Builder) -> AsyncIterator[Any]:
        if config.type == "another":
            yield StepCollector()

    with pytest.raises(TypeError, match="yields_a_string"):
        async with yields_a_string(Config(), None):
            pass
    with pytest.raises(TypeError, match="yields_nothing"):
        async with yields_nothing(Other(), None):
            pass


@pytest.mark.contract("S84", "D3")
def test_only_named_configs_and_async_generator_functions_can_be_registered() -> None:
    class Config(TelemetryExporterBaseConfig, name="registration_refused"):
        pass

    with pytest.raises(TypeError, match="int"):
        register_telemetry_exporter(config_type=int)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="coroutine_function"):

        @register_telemetry_exporter(config_type=Config)  # type: ignore[arg-type]
        async def coroutine_function(config: Config, builder: Builder) -> BaseExporter:
            return StepCollector()

    with pytest.raises(TypeError, match="generator_function"):

        @register_telemetry_exporter(config_type=Config)  # type: ignore[arg-type]
        def generator_function(config: Config, builder: Builder) -> Iterator[BaseExporter]:
            yield StepCollector()


class _BoomError(Exception):
    pass


def _failing(how: str) -> type[TelemetryExporterBaseConfig]:
    class Config(TelemetryExporterBaseConfig, name=f"registration_fails_{how}"):
        pass

    class FailsToStart(StepCollector):
        def start(self) -> Any:
            raise _BoomError("cannot start")

    @register_telemetry_exporter(config_type=Config)
    async def fails(config: Config, builder: Builder) -> AsyncIterator[Any]:
        if how == "building":
            raise _BoomError("cannot build")
        if how == "hanging":
            await asyncio.Event().wait()
        yield FailsToStart() if how == "starting" else "not an exporter"

    return Config


@pytest.mark.contract("S88", "S152", "S162", "D12")
@pytest.mark.parametrize(
    ("how", "reason"),
    [("building", "cannot build"), ("starting", "cannot start"), ("yielding", "expected an exporter")],
)
def test_a_broken_exporter_disables_only_itself_and_is_named(
    how: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    received = Received[Span]()
    bad, good = _failing(how), registered(lambda: SpanCollector(received))

    with Telemetry({"bad_one": bad(), "good": good()}) as telemetry:
        with telemetry.run("run"):
            pass
        status = telemetry.flush(60.0).exporters

    assert [span.name for span in received.items] == ["run"]
    assert (status["good"].state, status["bad_one"].state) == ("running", "disabled")
    assert reason in (status["bad_one"].reason or "")
    [said] = [record.getMessage() for record in caplog.records if reason in record.getMessage()]
    assert "bad_one" in said
    assert bad.static_type() in said


@pytest.mark.contract("D12", "S88")
@pytest.mark.parametrize(("how", "reason"), [("building", "cannot build"), ("starting", "cannot start")])
def test_a_broken_exporter_that_is_required_stops_the_start(tmp_path: Path, how: str, reason: str) -> None:
    workflow = tmp_path / "workflow.yaml"
    workflow.write_text(
        f"general: {{telemetry: {{tracing: {{bad_one: {{_type: {_failing(how).static_type()}, required: true}}}}}}}}\n"
    )

    with pytest.raises(Exception, match=reason) as caught, Telemetry.from_file(workflow):
        pass

    assert "bad_one" in str(caught.value)


@pytest.mark.contract("D12")
def test_a_registration_function_that_hangs_does_not_delay_the_others() -> None:
    received = Received[Span]()
    telemetry = Telemetry({"bad": _failing("hanging")(), "good": registered(lambda: SpanCollector(received))()})

    telemetry.start()
    with telemetry.run("run"):
        pass
    received.wait_for(1)
    telemetry.close(timeout=0.2)

    assert [span.name for span in received.items] == ["run"]


@pytest.mark.contract("D5")
def test_an_exception_of_the_workflow_is_not_thrown_into_the_function() -> None:
    caught: list[BaseException] = []
    torn_down = threading.Event()

    class Config(TelemetryExporterBaseConfig, name="registration_guarded"):
        pass

    @register_telemetry_exporter(config_type=Config)
    async def guarded(config: Config, builder: Builder) -> AsyncIterator[BaseExporter]:
        try:
            yield StepCollector()
        except BaseException as error:
            caught.append(error)
            raise
        torn_down.set()

    with pytest.raises(_BoomError), Telemetry({"guarded": Config()}) as telemetry, telemetry.run("run"):
        raise _BoomError("workflow")

    assert caught == []
    assert torn_down.is_set()


def _register_in(module: str, config_type: type[TelemetryExporterBaseConfig], exporter: BaseExporter) -> None:
    async def build(config: Any, builder: Builder) -> AsyncIterator[BaseExporter]:
        yield exporter

    build.__module__ = module
    register_telemetry_exporter(config_type=config_type)(build)


@pytest.mark.contract("S191", "D6")
async def test_registering_again_from_the_same_module_replaces_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    class Config(TelemetryExporterBaseConfig, name="registration_again"):
        pass

    first, second = StepCollector(), StepCollector()

    _register_in(__name__, Config, first)
    assert caplog.records == []
    _register_in(__name__, Config, second)

    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "registration_again" in record.getMessage()
    async with resolve("registration_again").build(Config(), None) as exporter:
        assert exporter is second


@pytest.mark.contract("S191", "D6")
async def test_another_config_class_of_the_same_name_replaces_too(caplog: pytest.LogCaptureFixture) -> None:
    def make() -> type[TelemetryExporterBaseConfig]:
        class Config(TelemetryExporterBaseConfig, name="registration_reloaded"):
            pass

        return Config

    old, new = make(), make()
    _register_in(__name__, old, StepCollector())
    _register_in(__name__, new, StepCollector())

    assert resolve("registration_reloaded").config_type is new
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.contract("D6")
def test_registering_from_another_module_is_an_error_that_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = [f"{tmp_path.name}_{which}".replace("-", "_") for which in ("first", "second")]
    for module in modules:
        (tmp_path / f"{module}.py").write_text(
            textwrap.dedent(
                """
                from nat.cli.register_workflow import register_telemetry_exporter
                from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig

                class Config(TelemetryExporterBaseConfig, name="registration_rival"):
                    pass

                @register_telemetry_exporter(config_type=Config)
                async def build(config, builder):
                    yield None
                """
            )
        )
    monkeypatch.syspath_prepend(tmp_path)

    importlib.import_module(modules[0])
    with pytest.raises(ValueError, match=f"{modules[0]}.*{modules[1]}"):
        importlib.import_module(modules[1])


@pytest.mark.contract("S30")
def test_a_registered_exporter_is_listed() -> None:
    config_type = registered(StepCollector)

    rows = [row for row in components() if row.type == config_type.static_type()]

    assert [(row.kind, row.loads, row.description) for row in rows] == [("tracing", True, "Made by a test.")]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package in the recommended layout, importable under a name of its own."""
    name = f"plugin_{tmp_path.name}".replace("-", "_")
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "exporters.py").write_text(
        textwrap.dedent(
            """
            import aiohttp

            from nat.data_models.span import Span
            from nat.observability.exporter.span_exporter import SpanExporter

            SEEN = []


            class PluginExporter(SpanExporter[Span, dict]):
                def __init__(self, endpoint, **kwargs):
                    super().__init__(**kwargs)
                    self.session = aiohttp.ClientSession()

                async def export_processed(self, item):
                    SEEN.append(item["name"])

                async def _cleanup(self):
                    await self.session.close()
                    await super()._cleanup()
            """
        )
    )
    (package / "register.py").write_text(
        textwrap.dedent(
            f"""
            from nat.builder.builder import Builder
            from nat.cli.register_workflow import register_telemetry_exporter
            from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig


            class PluginConfig(TelemetryExporterBaseConfig, name="{name}"):
                endpoint: str


            @register_telemetry_exporter(config_type=PluginConfig)
            async def plugin_exporter(config: PluginConfig, builder: Builder):
                from .exporters import PluginExporter

                yield PluginExporter(endpoint=config.endpoint)
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


@pytest.mark.contract("S2", "S72", "S89", "S90", "S91", "S110")
def test_imports_inside_the_function_happen_only_when_the_exporter_is_configured(plugin: str) -> None:
    """A relative import, of a module that needs aiohttp and makes its session in the constructor."""
    register = __import__(f"{plugin}.register", fromlist=["PluginConfig"])

    with Telemetry({"other": registered(StepCollector)()}) as telemetry, telemetry.run("run"):
        assert f"{plugin}.exporters" not in sys.modules
    with Telemetry({"plugin": register.PluginConfig(endpoint="x")}) as telemetry, telemetry.run("run"):
        emit("work")

    assert sorted(sys.modules[f"{plugin}.exporters"].SEEN) == ["run", "work"]


@pytest.mark.contract("S2", "S173")
def test_a_config_whose_module_registered_nothing_is_refused_with_the_way_out() -> None:
    class Config(TelemetryExporterBaseConfig, name="registration_missing"):
        pass

    with pytest.raises(ConfigurationError, match="register_telemetry_exporter"), Telemetry({"x": Config()}):
        pass
