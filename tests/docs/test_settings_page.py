"""Every key of every exporter, processor and delivery setting is documented, with no key that there is not."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from nat.data_models.delivery import DeliveryConfig
from nat.data_models.errors import ConfigurationError
from nat.data_models.telemetry_exporter import RESERVED_KEYS
from nat.observability.component import EXPORTER, PROCESSOR, ComponentKind
from nat.observability.registry import resolve
from nat.runtime.loader import load_workflow
from tests.docs import markdown
from tools import settings_page

_PAGE = markdown.ROOT / "docs/reference/settings.md"
_WORKFLOW_FILE = markdown.ROOT / "docs/reference/configuration.md"
_OURS = [(kind, type_name) for kind in (EXPORTER, PROCESSOR) for type_name in kind.own]


def section(heading: str) -> str:
    """What stands under a heading of the page, up to the next."""
    return re.split(r"^#+ ", _PAGE.read_text("utf-8").partition(f"# {heading}\n")[2], flags=re.MULTILINE)[0]


def keys_in(table: str) -> list[str]:
    return [
        key for cell in re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE) for key in re.findall("`([^`]+)`", cell)
    ]


def test_the_page_is_what_the_classes_say() -> None:
    assert settings_page.main(["--check"]) == 0, "run: uv run tools/settings_page.py"


@pytest.mark.parametrize(("kind", "type_name"), _OURS, ids=[type_name for _, type_name in _OURS])
def test_every_key_of_a_type_is_on_the_page(kind: ComponentKind, type_name: str) -> None:
    """With those of nested mappings, as pydantic's own schema has them, each once."""
    config = resolve(type_name, kind).config_type

    listed = keys_in(section(type_name))

    assert sorted(listed) == sorted(_keys(config))


def test_every_setting_says_what_it_means() -> None:
    """No row has an empty cell."""
    bare = [line for line in _PAGE.read_text("utf-8").splitlines() if re.search(r"\|\s*\|$|\| \|", line)]

    assert bare == []


def test_every_key_of_delivery_is_on_both_pages() -> None:
    """The page of all settings has them as declared, that of the workflow file without the mappings around them."""
    declared = list(_keys(DeliveryConfig))
    mappings = {key.rpartition(".")[0] for key in declared} - {""}
    described = _WORKFLOW_FILE.read_text("utf-8").partition("## Delivery\n")[2].partition("\n## ")[0]

    assert sorted(keys_in(section("Delivery"))) == sorted(declared)
    assert sorted(keys_in(described)) == sorted(set(declared) - mappings)


def test_every_key_of_an_entry_is_on_both_pages() -> None:
    """Those that the toolkit takes itself."""
    described = _WORKFLOW_FILE.read_text("utf-8").partition("## Keys\n")[2].partition("\n## ")[0]
    in_table = {key.removeprefix("….NAME.") for key in keys_in(described) if key.startswith("….NAME.")} - {"_type", "…"}
    listed = set(keys_in(section("Every exporter's entry")))

    assert in_table == listed == RESERVED_KEYS


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("1", ""),
        ("workflow: 1", "workflow."),
        ("general: 1", "general."),
        ("general: {telemetry: 1}", "general.telemetry."),
    ],
    ids=["file", "workflow", "general", "telemetry"],
)
def test_every_key_around_the_entries_is_on_the_page_of_the_workflow_file(
    text: str, prefix: str, tmp_path: Path
) -> None:
    """Those that the loader itself lists where it finds no mapping, and no other."""
    (tmp_path / "w.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load_workflow(tmp_path / "w.yaml")
    listed = re.search(r"with the keys ([\w, ]+), got", str(raised.value))
    assert listed is not None

    described = _WORKFLOW_FILE.read_text("utf-8").partition("## Keys\n")[2].partition("\n## ")[0]
    below = {
        key.removeprefix(prefix) for key in keys_in(described) if key.startswith(prefix) and not key.startswith("…")
    }

    assert set(listed[1].split(", ")) == {key.partition(".")[0] for key in below}


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """The keys of a model by its JSON schema, `tls.ca_file` and `fields[].path` for nested ones."""
    schema = model.model_json_schema()
    yield from _keys_of(schema, schema.get("$defs", {}), "")


def _keys_of(schema: dict[str, Any], definitions: dict[str, Any], prefix: str) -> Iterator[str]:
    for key, value in schema.get("properties", {}).items():
        yield f"{prefix}{key}"
        for suffix, nested in _mappings_in(value, definitions):
            yield from _keys_of(nested, definitions, f"{prefix}{key}{suffix}.")


def _mappings_in(schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if "$ref" in schema:
        yield "", definitions[schema["$ref"].rpartition("/")[2]]
    for choice in (*schema.get("anyOf", ()), *schema.get("allOf", ())):
        yield from _mappings_in(choice, definitions)
    if isinstance(values := schema.get("additionalProperties"), dict):
        yield from ((f".*{suffix}", nested) for suffix, nested in _mappings_in(values, definitions))
    if isinstance(items := schema.get("items"), dict):
        yield from ((f"[]{suffix}", nested) for suffix, nested in _mappings_in(items, definitions))
