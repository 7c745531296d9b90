"""Run in the environment `oracle-galileo`: a trace through Galileo's own SDK, which takes its settings from the environment."""

from galileo.otel import GalileoSpanProcessor, start_galileo_span  # type: ignore[import-not-found]  # of that environment
from galileo_core.schemas.logging.span import RetrieverSpan, ToolSpan  # type: ignore[import-not-found]
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

provider = TracerProvider()
provider.add_span_processor(GalileoSpanProcessor())
trace.set_tracer_provider(provider)

FACTS = {"session.id": "session-1", "user.id": "user-1"}
with provider.get_tracer("oracle").start_as_current_span(
    "assistant", attributes={"openinference.span.kind": "AGENT", "input.value": "6 * 7?", "output.value": "42", **FACTS}
):
    with start_galileo_span(ToolSpan(name="multiply", input='{"a": 6, "b": 7}', output="42", tool_call_id="call_1")):
        pass
    with start_galileo_span(RetrieverSpan(name="find", input="six times seven", output=[{"content": "a table"}])):
        pass
provider.force_flush()
provider.shutdown()
