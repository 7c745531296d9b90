"""Errors, losses and failed examinations name the page that says more."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nat.cli import pages
from nat.cli.summary import delivery_summary
from nat.data_models.errors import Problem
from nat.observability import Telemetry
from nat.observability.registry import default_registry
from nat.plugin_api import Builder, RawExporter, TelemetryExporterBaseConfig, register_telemetry_exporter
from tests.docs import markdown

_TRACING = "general.telemetry.tracing.prod"


def test_every_page_that_is_named_is_there() -> None:
    """With the place on it."""
    named = [page for _, page in pages._BY_PATH] + [pages.LOSSES, pages.NOT_DELIVERED]

    for page in named:
        name, _, fragment = page.partition("#")
        file: Path = markdown.ROOT / pages.DOCUMENTATION / name
        assert file.is_file(), page
        assert not fragment or fragment in markdown.anchors(file), page


@pytest.mark.parametrize(
    ("path", "page"),
    [
        (f"{_TRACING}._type", "backends/index.md"),
        (f"{_TRACING}.endpoint", "reference/settings.md"),
        (f"{_TRACING}.delivery.retry", "reference/configuration.md#delivery"),
        ("general.telemetry.delivery", "reference/configuration.md#delivery"),
        (f"{_TRACING}.redact.fields", "guide/privacy.md"),
        (f"{_TRACING}.sample", "guide/sampling.md"),
        (f"{_TRACING}.processors[0].when", "reference/settings.md#processors"),
        ("llms", "guide/from-nvidia.md"),
        ("workflow.entrypoint", "reference/configuration.md"),
    ],
)
def test_the_page_is_the_one_about_the_key(path: str, page: str) -> None:
    assert pages.see_about([Problem("is wrong", path=path)]) == [f"see docs/{page}"]


def test_pages_are_named_once_and_only_if_there_are_any() -> None:
    """Problems without a place in the file have none."""
    entrypoint, plugins = Problem("is wrong", path="workflow.entrypoint"), Problem("is wrong", path="plugins[0]")

    assert pages.see_about([entrypoint, plugins]) == ["see docs/reference/configuration.md"]
    assert pages.see_about([Problem("no such file")]) == []


class BrokenConfig(TelemetryExporterBaseConfig, name="broken"):
    """Of an exporter that cannot be built."""


def test_a_disabled_exporter_is_a_reason_to_read_on() -> None:
    """Also where nothing was lost yet, as without a run."""
    with default_registry.preserved():

        @register_telemetry_exporter(config_type=BrokenConfig)
        async def broken(config: BrokenConfig, builder: Builder) -> AsyncIterator[RawExporter[Any, Any]]:
            raise OSError("no room")
            yield

        with Telemetry(BrokenConfig()) as telemetry:
            pass

    lines = delivery_summary(telemetry.status())
    assert "disabled: OSError: no room" in lines[1]
    assert lines[-1] == "see docs/guide/traces-do-not-arrive.md, docs/explain/delivery.md"
