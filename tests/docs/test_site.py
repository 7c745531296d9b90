"""The site: it is built of the pages without a warning and without a network, and can be read without one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from tests.docs import markdown

_DOCS = markdown.ROOT / "docs"
_SETTINGS = markdown.ROOT / "mkdocs.yml"
_TIMEOUT_S = 180.0
_BUILD = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise OSError(f"the site is built without a network; {event} {arguments}")

sys.addaudithook(refuse)

from mkdocs.__main__ import cli

cli(["build", "--strict", "--site-dir", sys.argv[1]])
"""
_LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")}
_NOT_FETCHED = {"canonical", "next", "prev"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-c", _BUILD, str(folder)],
        cwd=markdown.ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},  # of the theme, about itself; not of these pages
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert built.returncode == 0, f"`uv run mkdocs build --strict` says:\n{built.stdout}{built.stderr}"
    return folder


def test_the_navigation_has_every_page_once() -> None:
    """Each page of `docs/` has its place in `nav:`, and there is nothing else there."""
    nav = _SETTINGS.read_text(encoding="utf-8").partition("\nnav:\n")[2]  # the last of its keys

    named = sorted(_pages_in(yaml.safe_load(nav)))
    there = sorted(page.relative_to(_DOCS).as_posix() for page in _DOCS.rglob("*.md"))

    assert named == there, "a new page needs a line under `nav:` in mkdocs.yml, and a link in docs/index.md"


def test_the_site_is_built_without_a_warning_and_without_a_network(site: Path) -> None:
    """Warnings are errors, a connection is refused, and each page has become one."""
    pages = {page.relative_to(site).as_posix() for page in site.rglob("*.html")} - {"404.html"}

    assert pages == {page.relative_to(_DOCS).with_suffix(".html").as_posix() for page in _DOCS.rglob("*.md")}


def test_links_on_the_site_lead_somewhere(site: Path) -> None:
    """Each link to a page finds it, and each to a place on a page finds that, as they have been built."""
    read = {page: _Page.read(page) for page in site.rglob("*.html") if page.name != "404.html"}

    broken = [
        f"{page.relative_to(site)}: {link}"
        for page, parsed in read.items()
        for link in parsed.links
        if "://" not in link and not _leads_somewhere(page, link, read)
    ]

    assert broken == []


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """Pages and styles name no script, font, style or image of another host; diagrams need no script at all."""
    fetched = [
        f"{page.relative_to(site)}: {url}"
        for page in site.rglob("*.html")
        for url in _Page.read(page).fetched
        if "//" in url
    ]
    styles = [style.name for style in site.rglob("*.css") if "url(http" in style.read_text(encoding="utf-8")]
    drawn_by_script = [page.name for page in site.rglob("*.html") if 'class="mermaid' in page.read_text("utf-8")]

    assert fetched == styles == drawn_by_script == []


def _pages_in(nav: Any) -> Iterator[str]:
    match nav:
        case str():
            yield nav
        case dict():
            for below in nav.values():
                yield from _pages_in(below)
        case _:
            for entry in nav:
                yield from _pages_in(entry)


def _leads_somewhere(page: Path, link: str, read: "dict[Path, _Page]") -> bool:
    name, _, fragment = link.partition("#")
    target = (page.parent / unquote(name)).resolve() if name else page
    if target.is_dir():
        target /= "index.html"
    return target.exists() and (not fragment or unquote(fragment) in read[target].ids)


@dataclass
class _Page(HTMLParser):
    """What one built page links, fetches, and can be linked at."""

    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path) -> "_Page":
        page = cls()
        page.feed(path.read_text(encoding="utf-8"))
        return page

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if given.get("rel") not in _NOT_FETCHED:
            self.fetched += [given[name] for kind, name in _LOADED if kind == tag and name in given]
