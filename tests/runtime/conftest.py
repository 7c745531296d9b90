"""Fixtures: a folder for a user's code, and a process that forgets what a test imported and registered."""

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nat.observability.registry import Registry, default_registry

AddDistribution = Callable[..., Path]


@pytest.fixture(autouse=True)
def registry() -> Iterator[Registry]:
    """The registry of the process; what a test registers is forgotten."""
    with default_registry.preserved():
        yield default_registry
    importlib.invalidate_caches()


@pytest.fixture
def add_distribution(tmp_path: Path) -> AddDistribution:
    """Install a distribution: a folder on `sys.path` with metadata, entry points and modules."""

    def install(
        name: str, entry_points: str, modules: dict[str, str], version: str = "1.0", group: str = "nat.components"
    ) -> Path:
        site = tmp_path / f"site-{name}"
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entry_points}\n")
        for module, text in modules.items():
            file = site / module
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        sys.path.append(str(site))
        importlib.invalidate_caches()
        return site

    return install


PLUGIN = '''
from nat.cli.register_workflow import register_telemetry_exporter
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig


class {config}(TelemetryExporterBaseConfig, name="{type_name}"):
    """{description}"""

    url: str = ""


@register_telemetry_exporter(config_type={config})
async def build(config, builder):
    yield object()
'''


@pytest.fixture
def plugin() -> Callable[..., str]:
    """The source of a module that registers a type."""

    def source(type_name: str, description: str = "A type.", config: str = "Config") -> str:
        return PLUGIN.format(type_name=type_name, description=description, config=config)

    return source
