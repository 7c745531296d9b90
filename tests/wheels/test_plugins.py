"""Packages that others publish: found without a change here, and harmless when they are bad."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.wheels.clean import CleanEnvironment

WORKFLOW = """\
workflow:
  entrypoint: ./agent.py:answer
general:
  telemetry:
    tracing:
      mine:
        _type: {type}
        {setting}
"""
AGENT = """\
from nat.observability import step


def answer(question: str) -> str:
    with step("look it up", kind="tool", input=question) as lookup:
        lookup.output = "42"
    return "42"
"""


@pytest.fixture
def workflow_folder(tmp_path: Path) -> Path:
    (tmp_path / "agent.py").write_text(AGENT)
    return tmp_path


def components(environment: CleanEnvironment) -> dict[str, dict[str, Any]]:
    """What `nat info components` says, by package."""
    listed = environment.run("nat", "info", "components", "-t", "tracing", "--json")
    assert listed.returncode == 0, listed.stderr
    return {component["package"]: component for component in json.loads(listed.stdout)}


def test_published_exporter_is_listed(with_plugins: CleanEnvironment) -> None:
    listed = with_plugins.run("nat", "info", "components", "-t", "tracing")

    assert listed.returncode == 0
    (line,) = (line for line in listed.stdout.splitlines() if "example-lines" in line)
    assert "1.2.3" in line
    assert "example_lines" in line
    assert components(with_plugins)["example-lines"] == {
        "package": "example-lines",
        "version": "1.2.3",
        "kind": "tracing",
        "type": "example_lines",
        "description": "Write a line per event to a text file.",
        "loads": True,
        "reason": None,
    }


def test_published_exporter_works_from_yaml(with_plugins: CleanEnvironment, workflow_folder: Path) -> None:
    """Installing is all it takes, beside a package that cannot be imported and two in conflict."""
    (workflow_folder / "workflow.yaml").write_text(WORKFLOW.format(type="example_lines", setting="path: events.txt"))

    run = with_plugins.run("nat", "run", "--config_file", "workflow.yaml", "--input", "why?", cwd=workflow_folder)

    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "42"
    events = [line.split(maxsplit=1) for line in (workflow_folder / "events.txt").read_text().splitlines()]
    assert [kind for kind, _ in events] == ["WORKFLOW_START", "TOOL_START", "TOOL_END", "WORKFLOW_END"]
    assert [name for kind, name in events if kind.startswith("TOOL")] == ["look it up", "look it up"]


def test_package_that_does_not_import_is_listed_with_its_reason(with_plugins: CleanEnvironment) -> None:
    broken = components(with_plugins)["example-broken"]

    assert broken["loads"] is False
    assert "example_broken needs a library that is not here" in broken["reason"]


def test_packages_that_claim_one_type_are_listed_as_in_conflict(with_plugins: CleanEnvironment) -> None:
    listed = components(with_plugins)

    for package, other in (("example-rival-one", "example-rival-two"), ("example-rival-two", "example-rival-one")):
        assert listed[package]["type"] == "example_rival"
        assert "conflict" in listed[package]["reason"]
        assert other in listed[package]["reason"]


def test_type_in_conflict_is_an_error_when_it_is_used(with_plugins: CleanEnvironment, workflow_folder: Path) -> None:
    """The message names both distributions; it is a configuration error, without a traceback."""
    (workflow_folder / "workflow.yaml").write_text(WORKFLOW.format(type="example_rival", setting=""))

    run = with_plugins.run("nat", "run", "--config_file", "workflow.yaml", "--input", "why?", cwd=workflow_folder)

    assert run.returncode == 2
    assert "example-rival-one" in run.stderr
    assert "example-rival-two" in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


def test_published_processor_works_from_yaml(with_plugins: CleanEnvironment, workflow_folder: Path) -> None:
    """Listed, with its settings, and used: for all exporters, and once more for one."""
    (workflow_folder / "workflow.yaml").write_text(
        """\
workflow: {entrypoint: "./agent.py:answer"}
general:
  telemetry:
    processors: [{_type: example_shout}]
    tracing:
      plain: {_type: example_lines, path: plain.txt}
      loud: {_type: example_lines, path: loud.txt, processors: [{_type: example_shout, mark: "!!"}]}
"""
    )

    listed = with_plugins.run("nat", "info", "components", "-t", "processing", "--json")
    settings = with_plugins.run("nat", "info", "processor", "example_shout")
    run = with_plugins.run("nat", "run", "--config_file", "workflow.yaml", "--input", "why?", cwd=workflow_folder)

    (row,) = (row for row in json.loads(listed.stdout) if row["package"] == "example-shouting")
    assert (row["version"], row["kind"], row["type"], row["loads"]) == ("2.0.1", "processing", "example_shout", True)
    assert "mark: text, default '!'" in settings.stdout
    assert run.returncode == 0, run.stderr
    tools = {
        name: [line.split(maxsplit=1)[1] for line in (workflow_folder / f"{name}.txt").read_text().splitlines()[1:3]]
        for name in ("plain", "loud")
    }
    assert tools == {"plain": ["LOOK IT UP!"] * 2, "loud": ["LOOK IT UP!!!"] * 2}
