"""Run in the environment `oracles`: a trace through Langfuse's own SDK, which takes its settings from the environment."""

from langfuse import Langfuse, propagate_attributes  # type: ignore[import-not-found]  # of that environment

MESSAGES = [{"role": "user", "content": "What is six times seven?"}]

client = Langfuse()
with propagate_attributes(
    user_id="user-1", session_id="session-1", tags=["beta"], metadata={"tenant": "acme"}, trace_name="assistant"
):
    with client.start_as_current_observation(name="assistant", as_type="agent", input="6 * 7?") as root:
        with client.start_as_current_observation(
            name="chat", as_type="generation", input=MESSAGES, model="m-1", model_parameters={"temperature": 0.5}
        ) as generation:
            generation.update(
                output={"role": "assistant", "content": "42"}, usage_details={"input": 11, "output": 7, "total": 18}
            )
        with client.start_as_current_observation(
            name="multiply", as_type="tool", input={"a": 6, "b": 7}, metadata={"unit": "none"}
        ) as tool:
            tool.update(level="ERROR", status_message="overflow")
        root.update(output="42")
client.flush()
client.shutdown()
