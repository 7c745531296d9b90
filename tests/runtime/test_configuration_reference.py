"""The reference of the workflow file: its example works, and its messages are the real ones."""

import json
import re
from pathlib import Path

import pytest

from nat.data_models.errors import ConfigurationError
from nat.observability import Telemetry
from nat.observability.registry import default_registry
from nat.runtime.loader import load_workflow

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page, with its files written to the working directory."""
    text = PAGE.read_text(encoding="utf-8")
    for block in re.findall(r"```(?:yaml|python)\n(.*?)```", text, re.DOTALL):
        (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block)
    monkeypatch.chdir(tmp_path)
    return text


async def test_example_of_the_page_works(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Function, name, exporters, a variable's default and an override."""
    monkeypatch.delenv("TRACE_PREFIX", raising=False)

    workflow = load_workflow("workflow.yaml", [("general.telemetry.tracing.to_backend.enabled", "true")])

    assert workflow.run_name == "greeter"
    assert workflow.call is not None
    assert workflow.call("reader") == "Hello, reader!"
    prefixes = {entry.name: entry.config.model_dump()["prefix"] for entry in workflow.exporters}
    assert prefixes == {"to_standard_error": "trace", "to_backend": "backend"}
    entry = workflow.exporters[0]
    async with entry.registration.build(entry.config) as exporter:
        assert type(exporter).__name__ == "LinesExporter"


def test_delivery_example_of_the_page_works(page: str) -> None:
    """The entry's keys and the general ones."""
    (entry,) = load_workflow("patient.yaml").exporters

    assert entry.delivery is not None
    assert entry.delivery.model_dump(exclude_unset=True) == {
        "timeout": 20.0,
        "retry": {"max_elapsed_time": 600.0},
        "batch": {"size": 50},
    }


def test_processors_example_of_the_page_works(page: str) -> None:
    """Those for all exporters first; each with its settings, its place and its time."""
    entries = load_workflow("shortened.yaml").exporters

    said = {
        entry.name: [(one.config.model_dump(), one.path, one.timeout_s) for one in entry.processors]
        for entry in entries
    }
    general = ({"characters": 1000}, "general.telemetry.processors[0]", 10.0)
    assert said == {
        "to_standard_error": [general],
        "to_backend": [general, ({"characters": 200}, "general.telemetry.tracing.to_backend.processors[0]", 2.0)],
    }


def test_status_example_of_the_page_works(page: str, tmp_path: Path) -> None:
    """A file that holds exactly the keys of the table."""
    with Telemetry.from_file("watched.yaml"):
        pass

    (file,) = (tmp_path / "status").iterdir()
    content = json.loads(file.read_text())
    section = page.partition("## Status files")[2].partition("\n## ")[0]
    keys = {key for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
    assert content.keys() == keys
    (row,) = re.findall(r"^\| `exporters` \| (.*) \|", section, re.MULTILINE)
    values = {"starting", "running", "disabled", "stopped", "null"}
    assert content["exporters"][0].keys() == set(re.findall(r"`(\w+)`", row)) - values


def test_messages_of_the_page_are_the_real_ones(page: str) -> None:
    """Word for word, but for the list of what is installed here."""
    expected = re.findall(r"```text\n(.*?)```", page, re.DOTALL)[0].splitlines()

    with pytest.raises(ConfigurationError) as caught:
        load_workflow("mistaken.yaml")

    said = [str(problem).splitlines()[0] for problem in caught.value.problems]
    installed = ", ".join(default_registry.known_types())
    assert said == [line.replace("Known: console, file, lines.", f"Known: {installed}.") for line in expected]


def test_keys_of_an_entry_are_all(page: str) -> None:
    """What the page has for every exporter is what configuration classes may not declare."""
    from nat.data_models.telemetry_exporter import RESERVED_KEYS

    assert set(re.findall(r"NAME\.(\w+)`", page)) - {"_type"} == RESERVED_KEYS
