"""For tests of exporters and agents: a fake backend with faults, recordings, recorded runs and their facts, virtual time.

from nat.testing import FakeBackend, faults, recorded_runs, replay
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nat.testing import faults
    from nat.testing.backend import FakeBackend, closed_url
    from nat.testing.facts import DocumentFacts, MessageFacts, RunFacts, SpanFacts, Tokens, Tree, facts_of, tree_of
    from nat.testing.in_memory import InMemoryExporter, Recording
    from nat.testing.player import replay
    from nat.testing.received import ReceivedEvent, ReceivedLink, ReceivedSpan, Request, Scope
    from nat.testing.runs import Failure, RecordedRun, RecordedStep, read_chats, recorded_run, recorded_runs

__all__ = [
    "DocumentFacts",
    "Failure",
    "FakeBackend",
    "InMemoryExporter",
    "MessageFacts",
    "ReceivedEvent",
    "ReceivedLink",
    "ReceivedSpan",
    "RecordedRun",
    "RecordedStep",
    "Recording",
    "Request",
    "RunFacts",
    "Scope",
    "SpanFacts",
    "Tokens",
    "Tree",
    "closed_url",
    "facts_of",
    "faults",
    "read_chats",
    "recorded_run",
    "recorded_runs",
    "replay",
    "tree_of",
]

_HOMES = {
    "DocumentFacts": "nat.testing.facts",
    "Failure": "nat.testing.runs",
    "FakeBackend": "nat.testing.backend",
    "InMemoryExporter": "nat.testing.in_memory",
    "MessageFacts": "nat.testing.facts",
    "ReceivedEvent": "nat.testing.received",
    "ReceivedLink": "nat.testing.received",
    "ReceivedSpan": "nat.testing.received",
    "RecordedRun": "nat.testing.runs",
    "RecordedStep": "nat.testing.runs",
    "Recording": "nat.testing.in_memory",
    "Request": "nat.testing.received",
    "RunFacts": "nat.testing.facts",
    "Scope": "nat.testing.received",
    "SpanFacts": "nat.testing.facts",
    "Tokens": "nat.testing.facts",
    "Tree": "nat.testing.facts",
    "closed_url": "nat.testing.backend",
    "facts_of": "nat.testing.facts",
    "read_chats": "nat.testing.runs",
    "recorded_run": "nat.testing.runs",
    "recorded_runs": "nat.testing.runs",
    "replay": "nat.testing.player",
    "tree_of": "nat.testing.facts",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
