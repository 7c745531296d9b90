"""Plugins of other distributions, found through their metadata."""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from nat.data_models.errors import ConfigurationError
from nat.observability import Telemetry
from nat.observability.registry import components, default_registry, missing_own_types, resolve
from tests.support.collecting import StepCollector, registered
from tests.support.missing import MISSING, forget_package


class Site:
    """A folder on `sys.path` that distributions are installed into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: list[str] = []

    def install(
        self, distribution: str, *, entry_points: dict[str, str], modules: dict[str, str], group: str = "nat.components"
    ) -> None:
        for module, code in modules.items():
            self.modules.append(module)
            (self.folder / f"{module}.py").write_text(textwrap.dedent(code))
        info = self.folder / f"{distribution.replace('-', '_')}-1.2.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2.3\n")
        (info / "entry_points.txt").write_text(
            f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in entry_points.items())
        )


def exporter_module(type_name: str) -> str:
    return f'''
        from nat.cli.register_workflow import register_telemetry_exporter
        from nat.data_models.intermediate_step import IntermediateStep
        from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
        from nat.observability.exporter.raw_exporter import RawExporter

        SEEN = []


        class Exporter(RawExporter[IntermediateStep, IntermediateStep]):
            async def export_processed(self, item):
                SEEN.append(str(item.event_type))


        class Config(TelemetryExporterBaseConfig, name="{type_name}"):
            """Sends to {type_name}."""


        @register_telemetry_exporter(config_type=Config)
        async def build(config, builder):
            yield Exporter()
    '''


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with default_registry.preserved():
        yield site
    for module in site.modules:
        sys.modules.pop(module, None)


def workflow_file(folder: Path, type_name: str) -> Path:
    path = folder / "workflow.yaml"
    path.write_text(f"general: {{telemetry: {{tracing: {{backend: {{_type: {type_name}}}}}}}}}\n")
    return path


@pytest.mark.contract("S2", "S17", "S20", "S30", "D32")
@pytest.mark.parametrize("group", ["nat.components", "nat.plugins"])
def test_an_installed_distribution_adds_an_exporter(site: Site, tmp_path: Path, group: str) -> None:
    """Listed with its distribution, loaded only when used, found by the name of its entry point."""
    site.install(
        "acme-tracing",
        entry_points={"acme_sink": "acme_sink", "acme_unused": "acme_unused"},
        modules={"acme_sink": exporter_module("acme_sink"), "acme_unused": "raise AssertionError('not asked for')"},
        group=group,
    )

    with Telemetry.from_file(workflow_file(tmp_path, "acme_sink")) as telemetry, telemetry.run("run"):
        pass

    assert sys.modules["acme_sink"].SEEN == ["WORKFLOW_START", "WORKFLOW_END"]
    assert "acme_unused" not in sys.modules
    [row] = [row for row in components() if row.type == "acme_sink"]
    assert (row.package, row.version, row.kind, row.description, row.loads, row.reason) == (
        "acme-tracing",
        "1.2.3",
        "tracing",
        "Sends to acme_sink.",
        True,
        None,
    )


@pytest.mark.contract("D32")
def test_a_type_that_no_entry_point_is_named_after_is_found_all_the_same(site: Site) -> None:
    site.install("acme-many", entry_points={"acme": "acme_many"}, modules={"acme_many": exporter_module("acme_hidden")})

    assert resolve("acme_hidden").type_name == "acme_hidden"


@pytest.mark.contract("S2", "S173", "D32")
def test_a_plugin_that_does_not_load_is_listed_with_its_reason_and_stops_nothing(site: Site) -> None:
    site.install(
        "broken-tracing", entry_points={"broken": "broken_plugin"}, modules={"broken_plugin": "import not_there_at_all"}
    )
    site.install(
        "sound-tracing", entry_points={"sound": "sound_plugin"}, modules={"sound_plugin": exporter_module("sound")}
    )

    rows = {row.type: row for row in components()}

    assert rows["sound"].loads is True
    assert (rows["broken"].package, rows["broken"].version, rows["broken"].loads) == ("broken-tracing", "1.2.3", False)
    assert "not_there_at_all" in (rows["broken"].reason or "")
    with pytest.raises(ConfigurationError, match=r"broken-tracing.*not_there_at_all"):
        resolve("broken")
    with pytest.raises(ConfigurationError, match="broken-tracing"):
        resolve("some_type_that_nobody_has")


@pytest.mark.contract("D32")
def test_two_distributions_that_claim_one_type_are_in_conflict_only_when_it_is_used(site: Site, tmp_path: Path) -> None:
    for distribution, module in (("first-claim", "first_claim"), ("second-claim", "second_claim")):
        site.install(distribution, entry_points={"claimed": module}, modules={module: exporter_module("claimed")})

    rows = [row for row in components() if row.type == "claimed"]
    with Telemetry({"other": registered(StepCollector)()}) as telemetry, telemetry.run("run"):
        pass
    with pytest.raises(ConfigurationError) as caught, Telemetry.from_file(workflow_file(tmp_path, "claimed")):
        pass

    assert sorted(row.package for row in rows) == ["first-claim", "second-claim"]
    assert all("conflict" in (row.reason or "") for row in rows)
    assert "first-claim" in str(caught.value)
    assert "second-claim" in str(caught.value)


@pytest.mark.contract("D25", "D32")
@pytest.mark.parametrize("is_built_in_first", [True, False])
def test_a_users_type_wins_over_a_built_in_one_whichever_came_first(
    site: Site, caplog: pytest.LogCaptureFixture, is_built_in_first: bool
) -> None:
    """Said once at INFO."""
    caplog.set_level("INFO", "nat.observability")
    site.install("my-console", entry_points={"mine": "my_console"}, modules={"my_console": exporter_module("console")})
    if is_built_in_first:
        resolve("console")
        components()
    __import__("my_console")

    for _ in range(3):
        assert resolve("console").module == "my_console"

    said = [record for record in caplog.records if "console" in record.getMessage() and record.levelname == "INFO"]
    assert len(said) == 1
    assert "my_console" in said[0].getMessage()


@pytest.mark.contract("D1", "S198")
def test_types_of_ours_that_are_not_installed_are_named_with_their_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forget_package(monkeypatch)

    not_installed = missing_own_types()

    assert MISSING in not_installed
    assert {own.type for own in not_installed}.isdisjoint(row.type for row in components())
    for own in not_installed:
        with pytest.raises(ConfigurationError, match=rf'pip install "nat-telemetry\[{own.extra}\]"'):
            resolve(own.type)


@pytest.mark.contract("S21", "D25")
def test_file_and_console_are_there_with_the_base_install() -> None:
    rows = {row.type: row for row in components()}

    assert (rows["file"].package, rows["file"].loads) == ("nat-telemetry-file", True)
    assert (rows["console"].package, rows["console"].loads) == ("nat-telemetry-core", True)
    assert rows["file"].description
    assert rows["console"].description
