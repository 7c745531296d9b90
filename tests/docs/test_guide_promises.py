"""What the guide to writing an exporter must tell, and that it is so."""

import re
from pathlib import Path

import pytest

import nat.plugin_api
from nat.builder.context import ContextState
from nat.data_models.span import Span
from nat.observability.exporter.base_exporter import IsolatedAttribute
from nat.observability.exporter.span_exporter import SpanExporter
from nat.plugins.opentelemetry.otel_span_exporter import OtelSpanExporter

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_PAGES = {path: path.read_text(encoding="utf-8") for path in sorted(_DOCS.rglob("*.md"))}


@pytest.mark.contract("S180")
def test_a_table_says_which_kind_is_for_what() -> None:
    """Raw for consoles and files, span for HTTP APIs, OpenTelemetry for OTLP, advanced for state; each class exists."""
    rows: dict[str, tuple[str, str]] = {}
    for text in _PAGES.values():
        for kind, base, use in re.findall(
            r"^\| (\w+) \| `(\w+Exporter)\b[^`]*` \|.*\| ([^|]+) \|$", text, re.MULTILINE
        ):
            rows.setdefault(kind.lower(), (base, use))

    words = {"raw": ("file", "console"), "span": ("HTTP",), "opentelemetry": ("OTLP",), "advanced": ("state",)}
    assert rows.keys() >= words.keys()
    for kind, expected in words.items():
        base, use = rows[kind]
        assert base == OtelSpanExporter.__name__ or hasattr(nat.plugin_api, base)
        assert all(word in use for word in expected), f"{kind}: {use}"


@pytest.mark.contract("S177")
def test_what_is_shared_by_runs_is_told_and_is_so() -> None:
    """State outside `IsolatedAttribute` is shared by all copies of an exporter."""

    class Counting(SpanExporter[Span, Span]):
        isolated: IsolatedAttribute[list[str]] = IsolatedAttribute(list)

        def __init__(self) -> None:
            super().__init__()
            self.plain: list[str] = []

        async def export_processed(self, item: Span) -> None: ...

    original = Counting()
    first, second = (original.create_isolated_instance(ContextState.get()) for _ in range(2))

    assert first.plain is second.plain is original.plain
    assert first.isolated is not second.isolated
    told = [
        text
        for text in _PAGES.values()
        if re.search(r"[Pp]lain\s+attributes\s+are\s+shared\s+by\s+all\s+copies", text) and "IsolatedAttribute" in text
    ]
    assert told, "no page says that plain attributes are shared by all copies, and an IsolatedAttribute is not"
