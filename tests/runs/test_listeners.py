"""Who else listens to a run's steps changes nothing in its spans."""

from contextlib import ExitStack, suppress
from typing import Any

from nat.builder.context import Context, ContextState
from nat.data_models.intermediate_step import IntermediateStepPayload, IntermediateStepType, StreamEventData, UsageInfo
from nat.data_models.span import Span, SpanAttributes
from nat.data_models.token_usage import TokenUsageBaseModel
from nat.observability import Telemetry, step
from tests.support.collecting import Received, SpanCollector, StepCollector, registered


def act() -> None:
    """Steps of all sorts, through both front doors."""
    with step("plan", input="how?") as plan:
        with step("ask", "llm", input=[{"role": "user", "content": "hi"}], model="m", tags=["a"]) as ask:
            ask.chunk("h")
            ask.usage(prompt_tokens=1, completion_tokens=2)
            ask.set_attribute("colour", "red")
            ask.output = {"text": "hello"}
        with step("look", "tool", input={"q": 1}) as look:
            look.update(documents=3)
            look.output = "found"
        with suppress(ValueError), step("break", "tool"):
            raise ValueError("no")
        plan.output = "so"
    push(
        "LLM", data=StreamEventData(output="yes"), usage_info=UsageInfo(token_usage=TokenUsageBaseModel(total_tokens=3))
    )
    push("TOOL", data=StreamEventData(output=KeyError("gone")))
    push("TOOL", data=StreamEventData(output="late", more=1), metadata={"k": "v"}, tags=["b"])
    step("never ends", "task").__enter__()


def push(kind: str, **end: Any) -> None:
    manager = Context.get().intermediate_step_manager
    start = IntermediateStepPayload(
        event_type=IntermediateStepType(f"{kind}_START"), name="pushed", data=StreamEventData(input="in")
    )
    manager.push_intermediate_step(start)
    manager.push_intermediate_step(
        IntermediateStepPayload(event_type=IntermediateStepType(f"{kind}_END"), name="pushed", UUID=start.UUID, **end)
    )


def spans_of_a_run(*, subscribed: bool = False, steps_wanted: bool = False) -> list[dict[str, Any]]:
    received, steps = Received[Span](), Received[Any]()
    configs = {"spans": registered(lambda: SpanCollector(received))()}
    if steps_wanted:
        configs["steps"] = registered(lambda: StepCollector(steps))()
    with Telemetry(configs) as telemetry, ExitStack() as stack:
        telemetry.flush(60.0)  # the exporters have started
        if subscribed:
            subscription = ContextState.get().event_stream.get().subscribe(lambda _: None)
            stack.callback(subscription.unsubscribe)
        with telemetry.run("assistant", input="q") as run:
            act()
            run.output = "a"
    return sorted((shown(span) for span in received.items), key=str)


def shown(span: Span) -> dict[str, Any]:
    """A span without what differs from run to run."""
    attributes = {
        key: value
        for key, value in span.attributes.items()
        if key not in ("nat.step.id", SpanAttributes.NAT_TIME_TO_FIRST_CHUNK_S)
    }
    events = [(event.name, {**event.attributes, "exception.stacktrace": ""}) for event in span.events]
    is_root = span.context.parent_span_id is None
    return {"name": span.name, "attributes": attributes, "status": span.status, "events": events, "is_root": is_root}


def test_a_subscriber_changes_nothing_in_spans() -> None:
    alone = spans_of_a_run()

    assert len(alone) == 9
    assert spans_of_a_run(subscribed=True) == alone
    assert spans_of_a_run(steps_wanted=True) == alone
