"""The pages hang together: links lead somewhere, each page has one title, and the index knows them all."""

from pathlib import Path

import pytest

from tests.docs import markdown

_PAGES = list(markdown.pages())
_IDS = [page.relative_to(markdown.ROOT).as_posix() for page in _PAGES]


@pytest.mark.parametrize("page", _PAGES, ids=_IDS)
def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    """A link to a file finds it, and one to a heading finds that."""
    broken = []
    for link in markdown.links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, fragment = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (fragment and fragment not in markdown.anchors(target)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("page", _PAGES, ids=_IDS)
def test_a_page_has_one_title(page: Path) -> None:
    """The title is the only heading of the first level, so that a site can be made of the pages."""
    count = markdown.h1_count(page)

    assert count == 1


def test_the_index_links_every_page() -> None:
    """No page of `docs/` is left out."""
    docs = markdown.ROOT / "docs"
    linked = {(docs / link).resolve() for link in markdown.links(docs / "index.md")}

    missing = [page for page in docs.rglob("*.md") if page.name != "index.md" and page.resolve() not in linked]

    assert missing == []
