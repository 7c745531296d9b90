"""Every backend of ours has an example whose workflow file is valid, a page, and a row in the overview."""

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml

from nat.observability.registry import OWN_TYPES, install_command

_ROOT = Path(__file__).resolve().parents[2]
_EXAMPLES = sorted((_ROOT / "examples/observability").glob("*/workflow.yaml"))
_OVERVIEW = _ROOT / "docs/backends/index.md"
_NAT = Path(sys.executable).parent / "nat"
_VARIABLE = re.compile(r"\$\{(\w+)\}")  # one without a default


def _is_here(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


_TYPES = [own.type for own in OWN_TYPES.values() if _is_here(own.distribution)]


@pytest.mark.parametrize("file", _EXAMPLES, ids=[file.parent.name for file in _EXAMPLES])
def test_an_example_is_valid(file: Path) -> None:
    """With its variables set, as its first lines say; and says so for all of its exporters, without a warning."""
    text = file.read_text(encoding="utf-8")
    variables = dict.fromkeys(_VARIABLE.findall(text), "some-key")

    checked = subprocess.run(
        [_NAT, "validate", "--config_file", file],
        env={**os.environ, **variables, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    tracing = yaml.safe_load(text)["general"]["telemetry"]["tracing"]
    exporters = [[name, entry["_type"]] for name, entry in tracing.items()]
    first, *rows = checked.stdout.splitlines()
    assert (checked.returncode, checked.stderr) == (0, "")
    assert first.startswith(f"{file} is valid: runs ")
    assert [row.split() for row in rows] == exporters


def test_every_backend_has_an_example() -> None:
    """In the folder of its type, where that type is used; the terminal and files share the quickstart's."""
    shown = {}
    for file in _EXAMPLES:
        tracing = yaml.safe_load(file.read_text(encoding="utf-8"))["general"]["telemetry"]["tracing"]
        shown[file.parent.name] = {entry["_type"] for entry in tracing.values()}

    assert shown.pop("quickstart") == {"console", "file"}
    assert shown.pop("advanced_exporter") == {"run_reports"}
    assert sorted(shown) == sorted(set(_TYPES) - {"console", "file"})
    assert all(name in types for name, types in shown.items())


def test_the_overview_has_every_backend() -> None:
    """With its page, its package, and the extra that brings it along, if that is needed."""
    rows = re.findall(
        r"^\| \[.+?\]\((\w+)\.md\) \| `(\w+)` \| `(.+?)` \| (?:`(\w+)`|.) \|", _OVERVIEW.read_text(), re.M
    )

    installed = {type_name: (type_name, OWN_TYPES[type_name].distribution) for type_name in _TYPES}
    assert {row[1]: (row[0], row[2]) for row in rows} == installed
    for _, type_name, _, extra in rows:
        needed = OWN_TYPES[type_name].extra
        assert extra in ([""] if needed is None else [type_name, needed]), install_command(type_name)
