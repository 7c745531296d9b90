"""The architecture page names what is there: its modules, and the directions of imports."""

import re
import tomllib

from tests.docs import markdown
from tools import diagrams

_PAGE = markdown.ROOT / "docs/explain/architecture.md"
_CORE = markdown.ROOT / "packages/core/src/nat"
_SUMMED_UP = {_CORE / "cli", _CORE / "plugins", _CORE / "plugin_api"}  # folders that the page describes as a whole


def test_paths_lead_to_files() -> None:
    """A path in the text is one of core, from its `nat/` on or below it."""
    paths = re.findall(r"`([a-z_]+/[\w/]*(?:\.py)?)`", markdown.prose(_PAGE))

    missing = [path for path in paths if not (_CORE / path).exists() and not (_CORE.parent / path).exists()]

    assert len(paths) > 10
    assert missing == []


def test_the_tree_names_every_module() -> None:
    """Every module of core has its place in the tree, and the folders there exist."""
    (tree,) = (block.text for block in markdown.blocks(_PAGE) if "core/src/nat/" in block.text)
    inside = tree.partition("core/src/nat/\n")[2].partition("├── file/")[0]
    modules = {
        path.stem
        for path in _CORE.rglob("*.py")
        if not path.stem.startswith("_") and not any(path.is_relative_to(folder) for folder in _SUMMED_UP)
    }

    named = set(re.findall(r"\w+", inside))
    folders = re.findall(r"([\w/]+)/\s", inside)

    assert modules - named == set()
    assert [folder for folder in folders if not any(_CORE.glob(f"**/{folder}"))] == []


def test_import_directions_are_those_of_the_layer_contract() -> None:
    """The chain of layers is the one that import-linter checks."""
    settings = tomllib.loads((markdown.ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (one for one in settings["contracts"] if one["id"] == "layers")
    (chain,) = (block.text for block in markdown.blocks(_PAGE) if block.text.startswith("cli →"))

    shown = [{name.strip() for name in layer.split(",")} for layer in chain.split("→")]

    assert shown == [{name.split(".")[-1].strip() for name in layer.split(":")} for layer in contract["layers"]]


def test_the_diagrams_are_what_the_tool_draws() -> None:
    assert diagrams.main(["--check"]) == 0, "run: uv run tools/diagrams.py"


def test_each_diagram_is_shown_light_and_dark() -> None:
    """Next to each other, with the same words for those who do not see it."""
    shown = re.findall(
        r"!\[(.+)\]\(([\w./]+)-light\.svg#gh-light-mode-only\)\n!\[\1\]\(\2-dark\.svg#gh-dark-mode-only\)",
        "\n".join(page.read_text(encoding="utf-8") for page in markdown.pages()),
    )

    assert {path.rpartition("/")[2] for _, path in shown} == {draw.__name__ for draw in diagrams.DIAGRAMS}
