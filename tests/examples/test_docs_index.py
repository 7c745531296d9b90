"""The quickstart's search: finds what a reader would look up."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

_FOLDER = Path(__file__).resolve().parents[2] / "examples/observability/quickstart"


@pytest.fixture
def docs_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(_FOLDER))
    import docs_index

    yield docs_index
    del sys.modules["docs_index"]


def write(folder: Path, **pages: str) -> Path:
    for name, text in pages.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return folder


def test_the_section_that_is_about_it_comes_first(docs_index: ModuleType, tmp_path: Path) -> None:
    """A rare word counts more than a common one, a heading more than the text below it."""
    write(
        tmp_path,
        fruit="# Fruit\n\nA pear is a fruit.\n\n## Apples\n\nAn apple is a fruit that keeps.\n",
        tools="# Tools\n\nA knife cuts a fruit.\n",
    )

    found = docs_index.DocsIndex(tmp_path).search("Which apples keep?", limit=2)

    assert found[0]["id"] == "fruit.md#Apples"
    assert found[0]["metadata"] == {"page": "fruit.md", "heading": "Apples"}
    assert found[0]["score"] > 0


def test_what_shares_no_word_is_not_found(docs_index: ModuleType, tmp_path: Path) -> None:
    """Stop words alone find nothing."""
    index = docs_index.DocsIndex(write(tmp_path, page="# Page\n\nThis is the text of it.\n"))

    assert index.search("what is this?", limit=3) == []
    assert index.search("zebra", limit=3) == []


def test_endings_and_the_page_title_do_not_hide_a_section(docs_index: ModuleType, tmp_path: Path) -> None:
    """`fails`, `failed` and `failing` are one word, and a section is found by what its page is about."""
    write(tmp_path, boat="# Boat\n\n## Settings\n\nSail: up.\n", car="# Car\n\n## Settings\n\nIt failed.\n")

    index = docs_index.DocsIndex(tmp_path)

    assert index.search("boat setting", limit=1)[0]["id"] == "boat.md#Settings"
    assert [index.search(word, limit=1)[0]["id"] for word in ("failing", "fails")] == ["car.md#Settings"] * 2


def test_a_comment_in_code_is_no_heading(docs_index: ModuleType) -> None:
    """Sections are cut at headings only."""
    text = "# Title\n\nText.\n\n```python\n# agent.py\nx = 1\n```\n\n## Next\n\nMore.\n"

    sections = list(docs_index.sections("page.md", text))

    assert [section.heading for section in sections] == ["Title", "Next"]
    assert "# agent.py" in sections[0].text


def test_pages_are_named_with_or_without_their_folder(docs_index: ModuleType, tmp_path: Path) -> None:
    """`docs/` may stand in front, and a page that is not there is said with those that are."""
    index = docs_index.DocsIndex(write(tmp_path, start="# Start\n", hidden="# Hidden\n"), without=["hidden.md"])

    assert index.pages == ["start.md"]
    assert index.page("docs/start.md") == index.page("start.md") == "# Start\n"
    with pytest.raises(docs_index.PageNotFoundError, match=r"there is no page 'hidden.md'; there are start.md"):
        index.page("hidden.md")


def test_no_pages_is_fine(docs_index: ModuleType, tmp_path: Path) -> None:
    """An empty folder holds nothing and finds nothing."""
    assert docs_index.DocsIndex(tmp_path).search("anything", limit=3) == []
