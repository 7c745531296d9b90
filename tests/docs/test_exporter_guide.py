"""What the guide to exporters shows in files of their own sends what it says, to a server."""

import importlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from nat.observability import step
from tests.docs import markdown

_PAGE = markdown.ROOT / "docs/guide/write-an-exporter.md"


@pytest.fixture
def module_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Gives a module of the page by name."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for block in markdown.blocks(_PAGE):
        if block.language == "python" and block.file is not None and "/" not in block.file:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    return importlib.import_module


@dataclass(frozen=True, slots=True)
class Received:
    """Where to post to, and what was posted: the key, and the body."""

    url: str
    posted: list[tuple[str | None, Any]]


@pytest.fixture
async def received() -> AsyncIterator[Received]:
    posted: list[tuple[str | None, Any]] = []

    async def take(request: web.Request) -> web.Response:
        posted.append((request.headers.get("Authorization"), await request.json()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    async with TestServer(app) as running:
        yield Received(str(running.make_url("/")), posted)


async def test_the_mixin_posts_lists_of_spans(module_of: Callable[[str], Any], received: Received) -> None:
    """With its key, all that wait before the session closes, and times, ids and attributes of each."""
    exporter = module_of("post_spans").PostExporter(endpoint=received.url, api_key="k1", batch_size=10)

    async with exporter.start():
        with step("look up", kind="tool"), step("ask", kind="llm"):
            pass

    ((key, spans),) = received.posted
    assert key == "Bearer k1"
    assert [span["name"] for span in spans] == ["ask", "look up"]
    assert len({span["trace"] for span in spans}) == 1
    assert all(span["from"] <= span["to"] and "openinference.span.kind" in span["attributes"] for span in spans)


async def test_the_session_of_start_is_open_for_every_span(module_of: Callable[[str], Any], received: Received) -> None:
    """From the first to the last; then it is closed."""
    exporter = module_of("pooled").PooledExporter(received.url)

    async with exporter.start():
        for _ in range(3):
            with step("look up", kind="tool"):
                pass

    assert [span["name"] for _, span in received.posted] == ["look up"] * 3
    assert exporter._session.closed
