"""Extras: each brings the exporters that it names, and nothing else of ours."""

import json
from collections.abc import Callable

import pytest

from nat.observability.component import PROCESSOR
from tests.wheels.clean import CleanEnvironment
from tools.build_wheels import ROOT

_BASE = {"console", "file"}
_OPENTELEMETRY = {*_BASE, "otelcollector", "galileo", "langfuse", "langsmith", "patronus"}
_REGISTERED = {path.parent.name for path in ROOT.glob("packages/*/src/nat/plugins/*/register.py")}
_ALL = _REGISTERED - {"opentelemetry", *PROCESSOR.own} | {"otelcollector"}


@pytest.mark.contract("S22", "S23", "S24", "S25", "S26", "S27", "S28", "S29", "S42", "S43", "S44", "S45")
@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("opentelemetry", _OPENTELEMETRY),
        ("all", _ALL),
        ("fsspec", _BASE),
        ("ragaai", {*_BASE, "otelcollector", "catalyst"}),
        *(
            (vendor, {*_BASE, "otelcollector", vendor})
            for vendor in ("catalyst", "galileo", "langfuse", "langsmith", "patronus", "phoenix", "weave")
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


_SIZE = """
import pathlib, sysconfig
files = pathlib.Path(sysconfig.get_path("purelib")).rglob("*")
print(sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".pyc"))
"""


def test_catalyst_is_small(base: CleanEnvironment, install: Callable[[str], CleanEnvironment]) -> None:
    """Under 20 MB beyond the base install; Catalyst's own SDK takes 592."""
    sizes = [int(each.run("python", "-c", _SIZE).stdout) for each in (base, install("nat-telemetry-catalyst"))]

    assert sizes[1] - sizes[0] < 20_000_000
