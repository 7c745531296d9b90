"""`IsolatedAttribute`: state that each workflow has for itself."""

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nat.builder.context import ContextState
from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.observability.exporter.base_exporter import BaseExporter, IsolatedAttribute
from nat.observability.exporter.raw_exporter import RawExporter
from tests.support.collecting import SpanCollector, StepCollector


class Counting(RawExporter[IntermediateStep, IntermediateStep]):
    _queue: IsolatedAttribute[deque[str]] = IsolatedAttribute(deque)
    _seen: IsolatedAttribute[dict[str, int]] = IsolatedAttribute(dict)
    _active: IsolatedAttribute[set[str]] = IsolatedAttribute(set)
    _stats: IsolatedAttribute[dict[str, int]] = IsolatedAttribute(lambda: {"ok": 0, "bad": 0})

    def __init__(self, context_state: ContextState | None = None) -> None:
        super().__init__(context_state=context_state)
        self.headers = {"authorization": "Bearer token"}

    async def export_processed(self, item: IntermediateStep) -> None:
        self._stats["ok"] += 1


@pytest.mark.contract("S116", "S153", "S156")
def test_any_factory_makes_the_first_value() -> None:
    """deque, dict, set and a lambda; on an exporter that was never started, outside any event loop."""
    exporter = Counting()

    assert exporter._queue == deque()
    assert exporter._seen == {}
    assert exporter._active == set()
    assert exporter._stats == {"ok": 0, "bad": 0}


@pytest.mark.contract("S116")
@pytest.mark.parametrize("factory", [None, {}, 5])
def test_a_factory_that_cannot_be_called_is_refused(factory: Any) -> None:
    with pytest.raises(TypeError):
        IsolatedAttribute(factory)


@pytest.mark.contract("S114")
def test_the_first_value_stays_until_another_is_assigned() -> None:
    exporter = Counting()
    first = exporter._seen

    first["a"] = 1

    assert exporter._seen is first
    replacement: dict[str, int] = {"b": 2}
    exporter._seen = replacement
    assert exporter._seen is replacement


@pytest.mark.contract("S114")
def test_instances_have_values_of_their_own() -> None:
    one, other = Counting(), Counting()

    one._seen["a"] = 1

    assert other._seen == {}


@pytest.mark.contract("S116", "S123")
def test_threads_that_come_first_together_get_one_value() -> None:
    calls = []
    together = threading.Barrier(8)

    def make() -> list[int]:
        calls.append(threading.get_ident())
        return []

    class Lazy(StepCollector):
        _items: IsolatedAttribute[list[int]] = IsolatedAttribute(make)

    def touch(exporter: Lazy) -> int:
        together.wait(10)
        return id(exporter._items)

    for _ in range(20):
        exporter = Lazy()
        calls.clear()
        with ThreadPoolExecutor(8) as pool:
            ids = set(pool.map(touch, [exporter] * 8))

        assert len(ids) == 1
        assert len(calls) == 1


@pytest.mark.contract("S114")
def test_the_class_shows_the_descriptor() -> None:
    assert isinstance(Counting.__dict__["_seen"], IsolatedAttribute)
    assert Counting._seen is Counting.__dict__["_seen"]


@pytest.mark.contract("S114")
def test_subclasses_inherit_and_may_override() -> None:
    class Inheriting(Counting):
        _stats: IsolatedAttribute[dict[str, int]] = IsolatedAttribute(lambda: {"ok": 100})

    exporter = Inheriting()
    copy = exporter.create_isolated_instance(ContextState.get())
    exporter._seen["a"] = 1
    exporter._stats["ok"] += 1

    assert exporter._stats == {"ok": 101}
    assert copy._stats == {"ok": 100}
    assert copy._seen == {}
    assert Counting()._stats == {"ok": 0, "bad": 0}


@pytest.mark.contract("S119", "S120", "S122", "S156", "S193")
def test_a_copy_starts_empty_and_stays_apart() -> None:
    original = Counting()
    original._queue.append("from the original")
    original._seen["a"] = 1
    original._active.add("a")
    original._stats["ok"] = 7

    copy = original.create_isolated_instance(ContextState.get())

    assert (copy._queue, copy._seen, copy._active, copy._stats) == (deque(), {}, set(), {"ok": 0, "bad": 0})
    copy._seen["b"] = 2
    original._seen["c"] = 3
    assert copy._seen == {"b": 2}
    assert original._seen == {"a": 1, "c": 3}
    assert original._queue == deque(["from the original"])
    assert original._active == {"a"}
    assert original._stats == {"ok": 7, "bad": 0}


@pytest.mark.contract("S119", "S122")
def test_copies_of_copies_and_siblings_stay_apart() -> None:
    original = Counting()
    first = original.create_isolated_instance(ContextState.get())
    first._seen["first"] = 1
    second = original.create_isolated_instance(ContextState.get())
    below = first.create_isolated_instance(ContextState.get())

    assert (second._seen, below._seen) == ({}, {})
    below._seen["below"] = 1
    assert (original._seen, first._seen, second._seen) == ({}, {"first": 1}, {})


@pytest.mark.contract("S114", "S119")
def test_it_may_be_attached_to_a_finished_class() -> None:
    class Late(StepCollector):
        pass

    attribute: IsolatedAttribute[list[int]] = IsolatedAttribute(list)
    Late.items = attribute  # type: ignore[attr-defined]
    attribute.__set_name__(Late, "items")
    original = Late()
    original.items.append(1)  # type: ignore[attr-defined]

    copy = original.create_isolated_instance(ContextState.get())

    assert original.items == [1]  # type: ignore[attr-defined]
    assert copy.items == []  # type: ignore[attr-defined]


@pytest.mark.contract("S115", "S119", "S121", "S124", "S126", "S193")
def test_a_copy_shares_everything_else() -> None:
    original = Counting()

    copy = original.create_isolated_instance(ContextState.get())

    assert copy is not original
    assert type(copy) is Counting
    assert copy.headers is original.headers
    assert (original.is_isolated_instance, copy.is_isolated_instance) == (False, True)


@pytest.mark.contract("S117", "S118")
def test_the_bases_isolate_their_own_tracking() -> None:
    for name in ("_tasks", "_ready_event", "_shutdown_event"):
        assert isinstance(getattr(BaseExporter, name), IsolatedAttribute)
    for name in ("_outstanding_spans", "_span_stack", "_metadata_stack"):
        assert isinstance(getattr(SpanCollector, name), IsolatedAttribute)

    original = SpanCollector()
    copy = original.create_isolated_instance(ContextState.get())
    assert isinstance(original._tasks, set)
    for name in ("_tasks", "_ready_event", "_shutdown_event", "_outstanding_spans", "_span_stack", "_metadata_stack"):
        assert getattr(original, name) is not getattr(copy, name)


@pytest.mark.contract("S126")
async def test_isolated_values_outlive_the_exporter() -> None:
    """After stopping, the base forgets its own tracking; an author's values stay readable."""
    exporter = Counting()

    async with exporter.start():
        exporter._seen["a"] = 1

    assert exporter._seen == {"a": 1}
    assert exporter._tasks == set()


def test_annotations_with_a_subscript_are_legal() -> None:
    assert IsolatedAttribute[dict[str, Span]] is not None
