"""What `nat info components -t tracing` loads: what it takes to start is mostly what it imports."""

import subprocess
import sys

from nat.observability.component import EXPORTER, PROCESSOR

# What any command made with click and a pydantic model loads.
LIKE_IT = """\
import logging, pathlib, sys
import click
from pydantic import BaseModel, Field, SecretStr

class Model(BaseModel, defer_build=True):
    key: SecretStr = Field(default="")

@click.command()
@click.option("-t", type=click.Choice(["tracing"]))
def like_it(t): click.echo(t)

like_it(["-t", "tracing"], standalone_mode=False)
"""

LISTING = """\
import sys
from nat.cli.main import cli

cli.main(["info", "components", *sys.argv[1:]], prog_name="nat", standalone_mode=False)
"""

CORE = {
    *("nat", "nat.cli", "nat.data_models", "nat.observability", "nat.plugins", "nat.runtime", "nat.utils"),
    *("nat.cli.commands", "nat.cli.commands.info", "nat.cli.debug", "nat.cli.environment", "nat.cli.errors"),
    *("nat.cli.main", "nat.cli.output", "nat.cli.register_workflow", "nat.cli.tables"),
    *("nat.data_models.component_config", "nat.data_models.conventions", "nat.data_models.errors"),
    *("nat.data_models.masking", "nat.data_models.suggestion", "nat.data_models.telemetry_exporter"),
    *("nat.data_models.telemetry_processor", "nat.observability.component", "nat.observability.registry"),
    *("nat.runtime.environment", "nat.utils.forking", "nat.utils.installed"),
}
SETTINGS = {  # of plugins, beside their register.py
    *("nat.plugins.file.paths", "nat.plugins.file.settings", "nat.plugins.weave.place"),
    *("nat.plugins.opentelemetry.endpoints", "nat.plugins.opentelemetry.fields"),
    *("nat.plugins.opentelemetry.settings", "nat.plugins.opentelemetry.vendor_url"),
}


def loaded_by(program: str, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{program}\nprint(*sorted(sys.modules))", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == "nat"


def test_listing_exporters_loads_their_settings_and_little_else() -> None:
    """Who adds a module here adds to what every listing takes: see benchmarks/startup.py, and defer what can be."""
    loaded = loaded_by(LISTING, "-t", "tracing")

    others = {module for module in loaded - loaded_by(LIKE_IT) if not is_ours(module)}
    assert others <= {"gc", "importlib._abc", "importlib.util"}
    plugins = {"opentelemetry" if name == "otelcollector" else name for name in EXPORTER.own}
    registering = {f"nat.plugins.{name}{module}" for name in plugins for module in ("", ".register")}
    assert set(filter(is_ours, loaded)) == CORE | SETTINGS | registering


def test_plugins_of_ours_are_loaded_for_what_they_register_only() -> None:
    processors = {f"nat.plugins.{name}.register" for name in PROCESSOR.own}
    exporters = {"nat.plugins.console.register", "nat.plugins.file.register", "nat.plugins.opentelemetry.register"}

    of_processors, of_both = loaded_by(LISTING, "-t", "processing"), loaded_by(LISTING)

    assert processors <= of_processors
    assert of_processors.isdisjoint(exporters)
    assert processors | exporters <= of_both
