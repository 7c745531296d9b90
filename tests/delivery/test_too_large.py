"""Too large: a list is halved, an item is cut and sent once more, and no neighbour is lost."""

import logging
from typing import Any

import pytest

from nat.data_models.intermediate_step import (
    IntermediateStep,
    IntermediateStepPayload,
    IntermediateStepType,
    StreamEventData,
)
from nat.data_models.invocation_node import InvocationNode
from nat.data_models.span import Span, SpanContext
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.delivery.sizes import size_of, truncated
from nat.observability.ledger import Counts
from nat.observability.processor.batching_processor import BatchingProcessor
from nat.plugin_api import ItemTooLargeError
from nat.testing import virtual_time
from tests.support.lanes import Backend, lane_to

MIB = 1024 * 1024


class HttpError(Exception):
    """As HTTP clients raise it."""

    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        super().__init__("the message may quote a payload")
        self.status = status
        self.headers = headers or {}


def _send(backend: Backend, items: list[Any], **options: Any) -> Counts:
    async def scenario() -> Counts:
        async with lane_to(backend, DeliveryOptions(**options)) as lane:
            for item in items:
                lane.submit(item)
            await lane.flush()
            return lane.ledger.counts()

    return virtual_time.run(scenario())


@pytest.mark.parametrize("refusal", [ItemTooLargeError("4 MiB at most"), HttpError(413)])
def test_one_big_item_takes_none_of_its_neighbours_along(refusal: Exception) -> None:
    """12 MiB among 500 small ones, against 4 MiB: 499 as they are, in order, and the big one cut."""
    items = [f"item {number}" for number in range(500)]
    items[137] = "x" * 12 * MIB
    backend = Backend(lambda sent: refusal if size_of(sent) > 4 * MIB else None)

    counts = _send(backend, items, takes_lists=True, batch_size=500)

    assert (counts.delivered, counts.dropped) == (500, {})
    assert backend.taken[:137] + backend.taken[138:] == items[:137] + items[138:]
    assert backend.taken[137].startswith("xxx")
    assert backend.taken[137].endswith(f"x… [truncated, {12 * MIB} characters before]")


def test_single_items_are_cut_and_sent_once_more() -> None:
    backend = Backend(lambda sent: ItemTooLargeError() if size_of(sent) > 4 * MIB else None)

    counts = _send(backend, ["small", "x" * 5 * MIB], concurrency=1)

    assert counts.delivered == 2
    assert len(backend.attempts) == 3


def test_an_item_that_is_refused_also_when_cut_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Two attempts, no more; the others of its list arrive."""
    caplog.set_level(logging.WARNING, "nat.observability")
    backend = Backend(lambda sent: ItemTooLargeError() if any("secret" in item for item in sent) else None)

    counts = _send(backend, ["a", "secret" * 1000, "b"], takes_lists=True)

    assert backend.taken == ["a", "b"]
    assert (counts.delivered, counts.rejected, counts.dropped) == (2, 0, {"too_large": 1})
    assert [len(sent) for _, sent in backend.attempts] == [3, 1, 2, 1, 1, 1]
    assert "secret" not in caplog.text
    assert "backend: an item is too large, also with its texts cut; 1 items are lost" in caplog.messages


def test_an_item_without_texts_to_cut_is_sent_once() -> None:
    backend = Backend(lambda sent: ItemTooLargeError())

    counts = _send(backend, [{"a": 1}])

    assert (len(backend.attempts), counts.dropped) == (1, {"too_large": 1})


def test_configured_limits_hold_before_anything_is_sent() -> None:
    """An item over `max_item_bytes` is cut, lists stay within `batch_bytes`, what cannot be cut is lost."""
    backend = Backend()
    items: list[Any] = ["a" * 1500, "b" * 1500, "c" * 5000, {number: number for number in range(1000)}, "d"]

    counts = _send(backend, items, takes_lists=True, max_item_bytes=2000, batch_bytes=4000)

    assert (counts.delivered, counts.dropped) == (4, {"too_large": 1})
    assert [size_of(sent) <= 4000 for _, sent in backend.attempts] == [True, True]
    assert [item[0] for item in backend.taken] == ["a", "b", "c", "d"]
    assert len(backend.taken[2]) < 2000


def test_lists_that_a_processor_makes_are_kept_within_bytes_too() -> None:
    backend = Backend()

    async def scenario() -> Counts:
        options = DeliveryOptions(batch_bytes=2000, concurrency=1)
        batching = BatchingProcessor[str](batch_size=10, flush_interval=60.0)
        async with lane_to(backend, options, [batching]) as lane:
            for letter in "abcdefghij":
                lane.submit(letter * (3000 if letter == "c" else 600))
            await lane.flush()
            return lane.ledger.counts()

    counts = virtual_time.run(scenario())

    assert (counts.delivered, counts.dropped) == (10, {})
    assert all(size_of(sent) <= 2000 for _, sent in backend.attempts)
    assert "".join(item[0] for item in backend.taken) == "abcdefghij"


def test_the_biggest_texts_of_a_span_are_cut_and_nothing_else() -> None:
    """The span itself does not change: other exporters have it too."""
    span = Span(
        name="call",
        context=SpanContext(trace_id=1, span_id=2),
        attributes={"input.value": "i" * 9000, "output.value": "o" * 5000, "session.id": "s1", "count": 3},
    )
    before = span.model_copy(deep=True)

    cut = truncated(span, 4000)

    assert span == before
    assert size_of(cut) <= 4000
    assert cut is not None
    assert cut.context == span.context
    assert {key: value[:1] for key, value in cut.attributes.items() if key.endswith("value")} == {
        "input.value": "i",
        "output.value": "o",
    }
    assert cut.attributes["input.value"].endswith("… [truncated, 9000 characters before]")
    assert (cut.attributes["session.id"], cut.attributes["count"], cut.name) == ("s1", 3, "call")


def test_steps_dicts_and_texts_of_any_script_are_cut() -> None:
    step = IntermediateStep(
        parent_id="root",
        function_ancestry=InvocationNode(function_id="f", function_name="f"),
        payload=IntermediateStepPayload(
            event_type=IntermediateStepType.LLM_END, name="m", data=StreamEventData(output={"text": ["ö" * 4000]})
        ),
    )

    cut = truncated(step, 2000)

    assert cut is not None
    assert size_of(cut) <= 2000
    assert cut.payload.UUID == step.payload.UUID
    assert cut.payload.data.output["text"][0].startswith("öö")
    assert str(truncated({"a": "日" * 2000}, 1000)).startswith("{'a': '日日")
    assert truncated("short", 1000) == "short"
    assert truncated(list(range(500)), 1000) is None
