"""The page and the example of `otelcollector` say what is so."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.plugins.opentelemetry.settings import OtlpConfig
from nat.testing import FakeBackend

_ROOT = Path(__file__).resolve().parents[2]
_PAGE = (_ROOT / "docs/backends/otelcollector.md").read_text(encoding="utf-8")
_SOURCES = _ROOT / "packages/otlp/src/nat/plugins/opentelemetry"


def rows(head: str) -> list[list[str]]:
    """The cells of a table."""
    table = _PAGE.split(head)[1].split("\n\n")[0].strip()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[1:]]


def test_every_key_is_described_with_its_default() -> None:
    described = {
        cells[0].strip("`| "): yaml.safe_load(cells[1].strip("`")) for cells in rows("| key | default | meaning |\n")
    }
    own = [key for key in OtelCollectorConfig.model_fields if key not in OtlpConfig.model_fields]

    assert list(described) == own
    for key, default in described.items():
        assert default == OtelCollectorConfig.model_fields[key].get_default(call_default_factory=True), key


def test_every_variable_that_is_read_is_described_and_no_other() -> None:
    source = (_SOURCES / "environment.py").read_text(encoding="utf-8")
    read = {f"OTEL_EXPORTER_OTLP_{name}" for name in re.findall(r'(?:_find\(|")([A-Z_]+)"', source) if name.isupper()}
    read = {name for name in read if not name.startswith("OTEL_EXPORTER_OTLP_OTEL")} | {
        "OTEL_SERVICE_NAME",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    }
    text = " ".join(cells[0] for cells in rows("| variable | key that goes before it |\n"))
    text = text.replace("`…_", "`OTEL_EXPORTER_OTLP_")

    assert set(re.findall(r"OTEL_[A-Z_]+", text)) == read


@pytest.mark.contract("S185")
def test_the_example_sends_its_traces() -> None:
    with FakeBackend() as backend:
        done = subprocess.run(
            [
                Path(sys.executable).with_name("nat"),
                *("run", "--config_file", "examples/observability/otelcollector/workflow.yaml", "--input", "spool?"),
            ],
            cwd=_ROOT,
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": backend.base_url, "PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    assert (done.returncode, "spool" in done.stdout) == (0, True), done.stderr
    assert len(backend.spans) > 3
    [root] = [span for span in backend.spans if span.parent_id is None]
    assert root.name == "quickstart"
    assert root.resource["service.name"] == "quickstart"
    assert root.resource["deployment.environment.name"] == "development"
