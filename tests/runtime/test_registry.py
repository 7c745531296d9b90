"""Registration and discovery of exporter types."""

import logging
import re
import sys
import threading
import types
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.errors import ConfigurationError
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.observability import registry as registry_module
from nat.observability.exporter.raw_exporter import RawExporter
from nat.observability.registry import OWN_TYPES, Registry, components, install_command, registration_of, resolve
from tests.support.missing import INSTALL_COMMAND, forget_package


class NullExporter(RawExporter[IntermediateStep, IntermediateStep]):
    """Sends nothing."""

    async def export_processed(self, item: IntermediateStep) -> None:
        """Do nothing."""


class NullConfig(TelemetryExporterBaseConfig, name="null"):
    """Sends nothing anywhere.

    Not on the list.
    """


def register_from(module: str, config_type: type[TelemetryExporterBaseConfig]) -> Any:
    """Register a function as if it stood in another module."""

    async def build(config: Any, builder: Any) -> AsyncIterator[Any]:
        yield NullExporter()

    code = build.__code__.replace(co_filename=f"/somewhere/{module}.py")
    function = types.FunctionType(code, {**globals(), "__name__": module}, "build")
    function.__module__ = module
    return register_telemetry_exporter(config_type=config_type)(function)


async def test_registered_function_builds_one_exporter() -> None:
    """S84-S87: the function gets configuration and builder; its rest runs on leaving."""
    told: list[Any] = []

    @register_telemetry_exporter(config_type=NullConfig)
    async def null_exporter(config: NullConfig, builder: Any) -> AsyncIterator[NullExporter]:
        told.extend((config, builder))
        yield NullExporter()
        told.append("torn down")

    config, builder = NullConfig(), object()
    async with null_exporter(config, builder) as exporter:  # type: ignore[arg-type]  # any object will do
        assert isinstance(exporter, NullExporter)
        assert told == [config, builder]

    assert told == [config, builder, "torn down"]
    assert resolve("null").build is null_exporter
    assert (null_exporter.config_type, null_exporter.type_name) == (NullConfig, "null")
    assert null_exporter.__name__ == "null_exporter"


async def test_error_of_the_body_is_not_thrown_into_the_function() -> None:
    """D5: the function is resumed normally, and the body's error goes on."""
    seen: list[str] = []

    @register_telemetry_exporter(config_type=NullConfig)
    async def null_exporter(config: NullConfig, builder: Any) -> AsyncIterator[NullExporter]:
        try:
            yield NullExporter()
            seen.append("resumed")
        except BaseException:
            seen.append("thrown")
            raise
        finally:
            seen.append("finally")

    with pytest.raises(KeyError, match="from the body"):
        async with null_exporter(NullConfig()):
            raise KeyError("from the body")

    assert seen == ["resumed", "finally"]


async def test_error_of_the_function_reaches_the_caller() -> None:
    """S88: what construction raises comes out as it is."""

    @register_telemetry_exporter(config_type=NullConfig)
    async def null_exporter(config: NullConfig, builder: Any) -> AsyncIterator[NullExporter]:
        if isinstance(config, NullConfig):
            raise OSError("no route")
        yield NullExporter()

    with pytest.raises(OSError, match="no route"):
        async with null_exporter(NullConfig()):
            pass


async def test_yield_of_the_wrong_thing_names_the_function() -> None:
    """Yielding nothing, something else, or twice is a TypeError that names the function; `finally` runs."""
    closed: list[str] = []

    @register_telemetry_exporter(config_type=NullConfig)
    async def nothing(config: NullConfig, builder: Any) -> AsyncIterator[Any]:
        if not isinstance(config, NullConfig):
            yield NullExporter()

    @register_telemetry_exporter(config_type=NullConfig)
    async def something(config: NullConfig, builder: Any) -> AsyncIterator[Any]:
        try:
            yield {}
        finally:
            closed.append("something")

    @register_telemetry_exporter(config_type=NullConfig)
    async def twice(config: NullConfig, builder: Any) -> AsyncIterator[Any]:
        try:
            yield NullExporter()
            yield NullExporter()
        finally:
            closed.append("twice")

    for build, message in (
        (nothing, "nothing yields nothing, expected exactly one exporter"),
        (something, "something yields builtins.dict, expected an exporter"),
        (twice, "twice yields a second time"),
    ):
        with pytest.raises(TypeError, match=message):
            async with build(NullConfig()):
                pass
    assert closed == ["something", "twice"]


def test_what_cannot_be_registered_is_a_type_error() -> None:
    """D3 and 3.2: only named configuration classes, only async generator functions."""

    class Abstract(TelemetryExporterBaseConfig):
        """No name."""

    with pytest.raises(TypeError, match="must be a subclass of TelemetryExporterBaseConfig, got <class 'dict'>"):
        register_telemetry_exporter(config_type=dict)  # type: ignore[type-var]  # what is tested
    with pytest.raises(TypeError, match="Abstract has no name and cannot be registered"):
        register_telemetry_exporter(config_type=Abstract)

    async def no_generator(config: NullConfig, builder: Any) -> NullExporter:
        return NullExporter()

    with pytest.raises(TypeError, match="no_generator is not an async generator function; write `async def"):
        register_telemetry_exporter(config_type=NullConfig)(no_generator)  # type: ignore[arg-type]  # what is tested


def test_registration_again_from_one_module_replaces(caplog: pytest.LogCaptureFixture) -> None:
    """D6, S191: the second registration counts, and a warning says so."""
    register_from("mine", NullConfig)
    second = register_from("mine", NullConfig)

    assert resolve("null").build is second
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "exporter type 'null' is registered again by module mine" in caplog.text


def test_registration_from_another_module_is_an_error() -> None:
    """D6: both modules are named, and the first stays."""
    first = register_from("mine", NullConfig)

    with pytest.raises(ValueError, match="'null' is registered by module mine already, so module yours cannot"):
        register_from("yours", NullConfig)
    assert resolve("null").build is first


def test_registration_is_logged_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    """S178: a logger below nat.observability says it at DEBUG."""
    logging.getLogger("nat.observability").setLevel(logging.DEBUG)

    register_from("mine", NullConfig)

    record = next(record for record in caplog.records if "registered exporter type 'null'" in record.message)
    assert record.levelname == "DEBUG"
    assert record.name.startswith("nat.observability.")


def test_type_registered_by_import_is_listed() -> None:
    """S30: with its module as package and its docstring's first line as description."""
    register_from("mine", NullConfig)

    row = next(row for row in components() if row.type == "null")
    assert (row.package, row.version, row.kind, row.description) == ("mine", None, "tracing", "Sends nothing anywhere.")
    assert (row.loads, row.reason) == (True, None)


def test_installed_plugin_is_found_by_its_name_first(
    add_distribution: Callable[..., Any], plugin: Callable[..., str]
) -> None:
    """3.3: the entry point named like the type is loaded, the others are not."""
    add_distribution(
        "far", "queue_x = far_plugin.register", {"far_plugin/register.py": plugin("queue_x", "Far.")}, "2.1"
    )
    add_distribution("other", "thing_x = other_plugin", {"other_plugin.py": plugin("thing_x")}, group="nat.plugins")

    found = resolve("queue_x")

    assert (found.distribution, found.version, found.module) == ("far", "2.1", "far_plugin.register")
    assert "other_plugin" not in sys.modules


def test_plugin_under_another_name_is_found(add_distribution: Callable[..., Any], plugin: Callable[..., str]) -> None:
    """3.3: without an entry point of its name, a type is looked for in all; `module:attr` is loaded, not called."""
    source = plugin("queue_x") + "\n\ndef main():\n    raise SystemExit\n"
    add_distribution("far", "bundle = far_bundle:main", {"far_bundle.py": source})

    assert resolve("queue_x").distribution == "far"


def test_plugin_that_does_not_load_is_reported_and_stops_nothing(
    add_distribution: Callable[..., Any], plugin: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """3.3: it is listed with its reason; others work; an unknown type mentions it again."""
    add_distribution("broken-x", "bad_x = broken_x", {"broken_x.py": "raise RuntimeError('no luck')\n"})
    add_distribution("gone-x", "gone_x = gone_x:missing", {"gone_x.py": ""})
    add_distribution("far", "queue_x = far_plugin", {"far_plugin.py": plugin("queue_x")})

    rows = {row.type: row for row in components()}

    assert (rows["bad_x"].package, rows["bad_x"].loads) == ("broken-x", False)
    assert rows["bad_x"].reason == "RuntimeError: no luck"
    assert rows["gone_x"].reason == "AttributeError: module 'gone_x' has no attribute 'missing'"
    assert rows["queue_x"].loads
    assert "broken-x: plugin 'bad_x' (broken_x) does not load" in caplog.text
    with pytest.raises(
        ConfigurationError, match=r"(?s)no exporter of type 'zzz'.*broken-x does not load.*: RuntimeError"
    ):
        resolve("zzz")
    with pytest.raises(ConfigurationError, match="'bad_x' of broken-x does not load: RuntimeError: no luck; repair"):
        resolve("bad_x")


def test_two_distributions_with_one_type_are_in_conflict(
    add_distribution: Callable[..., Any], plugin: Callable[..., str]
) -> None:
    """D32: both are listed so; it is an error only when the type is used, and then names both."""
    add_distribution("one-x", "both_x = one_x", {"one_x.py": plugin("both_x")})
    add_distribution("two-x", "both_x = two_x", {"two_x.py": plugin("both_x") + plugin("alone_x", config="Alone")})

    rows = [row for row in components() if row.type == "both_x"]

    assert [row.package for row in rows] == ["one-x", "two-x"]
    assert [row.reason for row in rows] == [
        "in conflict: two-x (module two_x) provides this type too",
        "in conflict: one-x (module one_x) provides this type too",
    ]
    assert all(row.loads for row in rows)
    assert resolve("alone_x").distribution == "two-x"
    with pytest.raises(ConfigurationError, match=r"'both_x' is in conflict: one-x .* and two-x .* provide it"):
        resolve("both_x")


def console_config() -> type[TelemetryExporterBaseConfig]:
    """A user's own type of a name of ours."""

    class ConsoleConfig(TelemetryExporterBaseConfig, name="console"):
        """My own console."""

    return ConsoleConfig


def test_own_type_gives_way_to_a_user_who_comes_first(
    add_distribution: Callable[..., Any],
    plugin: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D25: a user's registration is used instead of ours, said once at INFO, and ours is listed as not used."""
    caplog.set_level(logging.INFO, "nat.observability")
    registry = Registry()
    users = register_from("mine", console_config())
    registry.register(users)
    monkeypatch.setattr(
        registry_module, "_OWN_DISTRIBUTIONS", registry_module._OWN_DISTRIBUTIONS | {"nat-telemetry-pigeon"}
    )
    add_distribution("nat-telemetry-pigeon", "console = fake_ours", {"fake_ours.py": plugin("console")})

    assert registry.resolve("console").build is users
    assert registry.resolve("console").build is users
    rows = [row for row in registry.components() if row.type == "console"]
    assert any(row.package == "mine" and row.reason is None for row in rows)
    said = [record for record in caplog.records if "is used instead of the built-in one" in record.message]
    assert {record.levelname for record in said} == {"INFO"}


def test_own_type_gives_way_to_a_user_who_comes_later(
    registry: Registry,
    add_distribution: Callable[..., Any],
    plugin: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D25, D32: the order of loading does not matter; ours stays reachable through its own class."""
    caplog.set_level(logging.INFO, "nat.observability")
    forget_package(monkeypatch)
    monkeypatch.setattr(
        registry_module, "_OWN_DISTRIBUTIONS", registry_module._OWN_DISTRIBUTIONS | {"nat-telemetry-pigeon"}
    )
    add_distribution("nat-telemetry-pigeon", "pigeon = ours_pigeon", {"ours_pigeon.py": plugin("pigeon")})

    class PigeonConfig(TelemetryExporterBaseConfig, name="pigeon"):
        """My own."""

    ours = resolve("pigeon")
    users = register_from("mine", PigeonConfig)

    assert ours.is_ours
    assert resolve("pigeon").build is users
    assert registration_of(ours.config_type()).build is ours.build
    reasons = {row.package: row.reason for row in components() if row.type == "pigeon"}
    assert reasons == {"mine": None, "nat-telemetry-pigeon": "not used: module mine provides this type too"}
    said = [record.message for record in caplog.records if record.levelname == "INFO"]
    assert said == ["exporter type 'pigeon': module mine is used instead of the built-in one"]


def test_registration_of_a_class_that_nobody_registered() -> None:
    """A configuration object whose class has no exporter is refused with what to do."""

    class Lonely(TelemetryExporterBaseConfig, name="lonely"):
        """Lonely."""

    class Abstract(TelemetryExporterBaseConfig):
        """Abstract."""

    with pytest.raises(ConfigurationError, match=r"no exporter is registered for .*Lonely; import the module"):
        registration_of(Lonely())
    with pytest.raises(ConfigurationError, match="Abstract is abstract"):
        registration_of(Abstract())


def test_unknown_type_names_the_closest_and_what_to_do() -> None:
    """S104, S173: the known types, the closest one, and how an own exporter becomes known."""
    register_from("mine", NullConfig)

    with pytest.raises(ConfigurationError) as caught:
        resolve("nul")

    message = caught.value.problems[0].message
    assert message.startswith("no exporter of type 'nul', did you mean 'null'? Known: ")
    assert "null" in message.partition("Known: ")[2]
    assert "must be registered by a module that is imported: name it under plugins:" in message


def test_own_type_that_is_not_installed_gives_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """D1, S198: using a type of ours without its extra says what to install."""
    forget_package(monkeypatch)

    with pytest.raises(ConfigurationError, match=re.escape(f"install it: {INSTALL_COMMAND}")):
        resolve("pigeon")


def test_extras_of_our_types() -> None:
    """S42-S45, D27: the guide's extras install our distributions."""
    extras = {own.type: own.extra for own in OWN_TYPES.values()}

    assert extras == {
        "catalyst": "ragaai",
        "console": None,
        "file": None,
        "galileo": "opentelemetry",
        "langfuse": "opentelemetry",
        "langsmith": "opentelemetry",
        "otelcollector": "opentelemetry",
        "patronus": "opentelemetry",
        "phoenix": "phoenix",
        "weave": "weave",
    }
    assert install_command("phoenix") == 'pip install "nat-telemetry[phoenix]"'
    assert install_command("file") == "pip install nat-telemetry"
    assert install_command("queue") is None


def test_type_of_a_distribution_installed_meanwhile_is_found(
    add_distribution: Callable[..., Any], plugin: Callable[..., str]
) -> None:
    """A long-lived process finds what was installed after it first looked."""
    with pytest.raises(ConfigurationError):
        resolve("late_x")
    add_distribution("late", "late_x = late_plugin", {"late_plugin.py": plugin("late_x")})

    assert resolve("late_x").distribution == "late"


def test_two_threads_that_need_one_plugin_both_get_it(
    add_distribution: Callable[..., Any], plugin: Callable[..., str]
) -> None:
    """A thread that asks while another one imports the plugin waits for it."""
    gate = types.ModuleType("gate_x")
    gate.entered, gate.may_go_on = threading.Event(), threading.Event()  # type: ignore[attr-defined]  # made up
    sys.modules["gate_x"] = gate
    source = "import gate_x\ngate_x.entered.set()\nassert gate_x.may_go_on.wait(20)\n" + plugin("slow_x")
    add_distribution("slow", "slow_x = slow_plugin", {"slow_plugin.py": source})
    found: list[Any] = []

    threads = [threading.Thread(target=lambda: found.append(resolve("slow_x"))) for _ in range(2)]
    threads[0].start()
    assert gate.entered.wait(20)
    threads[1].start()
    gate.may_go_on.set()
    for thread in threads:
        thread.join(20)

    assert [registration.distribution for registration in found] == ["slow", "slow"]


def test_broken_metadata_stops_nothing(
    add_distribution: Callable[..., Any], plugin: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """A distribution whose entry points cannot be read is said to be unusable."""
    add_distribution("odd", "this is no entry point", {})
    add_distribution("far", "queue_x = far_plugin", {"far_plugin.py": plugin("queue_x")})

    assert resolve("queue_x").distribution == "far"
    assert "odd: its entry_points.txt cannot be read" in caplog.text
