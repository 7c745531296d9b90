"""Each preset's page and example: every setting is described, and the example runs."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from nat.data_models.errors import ConfigurationError
from nat.plugins.opentelemetry.settings import OtlpConfig
from nat.runtime.loader import load_workflow
from tests.vendors.vendors import VENDORS, Vendor

_ROOT = Path(__file__).resolve().parents[2]
_NAT = Path(sys.executable).parent / "nat"


@pytest.fixture(params=[vendor for vendor in VENDORS if vendor.id == vendor.type], ids=lambda vendor: vendor.id)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    found: Vendor = request.param
    return found


def test_every_setting_is_described_with_its_default(vendor: Vendor) -> None:
    """The page of the preset has its own settings, in their order; the shared page has the others."""
    fields = vendor.config_type.model_fields
    shared, own = _described("otlp"), _described(vendor.type)

    assert shared.keys() == OtlpConfig.model_fields.keys()
    assert list(own) == [key for key in fields if key not in shared]
    for key, default in {**shared, **own}.items():
        assert default == fields[key].get_default(call_default_factory=True), key


def test_the_message_for_a_missing_key_is_the_real_one(
    vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the page's own example, where the variable of the key is not set."""
    (shown,) = re.findall(r"```text\n(.*)\n```", _page(vendor.type))
    example, *_ = re.findall(r"```yaml\n(.*?)```", _page(vendor.type), re.DOTALL)
    file = tmp_path / "workflow.yaml"
    file.write_text(example)
    for variable in re.findall(r"\$\{(\w+)\}", example):
        monkeypatch.delenv(variable, raising=False)

    with pytest.raises(ConfigurationError) as caught:
        load_workflow(file, entrypoint="optional")

    assert shown in str(caught.value).replace(f"{tmp_path}/", "")


def test_the_example_sends_its_traces(vendor: Vendor) -> None:
    """With the keys in their variables, and the address in that of the vendor."""
    variables = {variable: vendor.keys[key] for key, variable in vendor.variables.items()}
    with vendor.stand_in() as backend:
        done = subprocess.run(
            [_NAT, "run", "--config_file", f"examples/observability/{vendor.type}/workflow.yaml", "--input", "spool?"],
            cwd=_ROOT,
            env={**os.environ, **variables, vendor.address_variable: vendor.address(backend), "PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    assert (done.returncode, "spool" in done.stdout) == (0, True), done.stderr
    assert len(backend.spans) > 3
    assert {span.name for span in backend.spans if span.parent_id is None} == {"quickstart"}


def _page(name: str) -> str:
    return (_ROOT / "docs/backends" / f"{name}.md").read_text(encoding="utf-8")


def _described(name: str) -> dict[str, Any]:
    """The first table of settings on a page: key and default."""
    table = _page(name).split("| key | default | meaning |\n|---|---|---|\n")[1].split("\n\n")[0]
    rows = [re.match(r"\| `(\w+)` \| `(.*?)` \|", line) for line in table.splitlines()]
    assert all(rows), table
    return {row[1]: yaml.safe_load(row[2]) for row in rows if row is not None}
