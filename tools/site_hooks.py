"""What mkdocs does to a page of `docs/` before it is on the site: files outside of `docs/` are named, not linked."""

import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

_LINK_OUT = re.compile(r"(?<!!)\[[^\]]*\]\(((?:\.\./)+[\w./-]+)\)")


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A link to a file of the repository that is not on the site becomes its path there."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def named(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[1]))
        return link[0] if path.startswith("docs/") else f"`{path}`"

    return _LINK_OUT.sub(named, markdown)
