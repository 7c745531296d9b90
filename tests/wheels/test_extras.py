"""Extras: each brings the exporters that it names, and nothing else of ours."""

import json
from collections.abc import Callable

import pytest

from tests.wheels.clean import CleanEnvironment
from tools.build_wheels import ROOT

_BASE = {"console", "file"}
_OPENTELEMETRY = {*_BASE, "otelcollector", "galileo", "langfuse", "langsmith", "patronus"}
_ALL = {path.parent.name for path in ROOT.glob("packages/*/src/nat/plugins/*/register.py")} - {"opentelemetry"} | {
    "otelcollector"
}


@pytest.mark.contract("S22", "S24", "S25", "S26", "S27", "S28", "S42", "S43")
@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("opentelemetry", _OPENTELEMETRY),
        ("all", _ALL),
        *(
            (vendor, {*_BASE, "otelcollector", vendor})
            for vendor in ("galileo", "langfuse", "langsmith", "patronus", "phoenix")
        ),
    ],
)
def test_an_extra_brings_its_exporters(
    extra: str, expected: set[str], install: Callable[[str], CleanEnvironment]
) -> None:
    """`nat info components -t tracing` lists exactly those, and loads all of them."""
    environment = install(f"nat-telemetry[{extra}]")

    listed = environment.run("nat", "info", "components", "-t", "tracing", "--json")

    assert listed.returncode == 0, listed.stderr
    rows = json.loads(listed.stdout)
    assert {row["type"] for row in rows} == expected
    assert all(row["loads"] for row in rows)
