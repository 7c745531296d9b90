"""The quickstart, run as a user runs it: by `nat run`, from the repository root."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from nat.data_models.span import Span, SpanStatusCode
from nat.plugins.file.reader import read_spans

_ROOT = Path(__file__).resolve().parents[2]
_WORKFLOW = "examples/observability/quickstart/workflow.yaml"
_NAT = Path(sys.executable).parent / "nat"
_OPENAI_VARIABLES = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL")
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """What one `nat run` left."""

    code: int
    result: str
    said: str
    spans: list[Span]

    def of_kind(self, kind: str) -> list[Span]:
        return sorted(
            (span for span in self.spans if span.attributes["openinference.span.kind"] == kind),
            key=lambda span: span.start_time,
        )


async def run(question: str, folder: Path, environment: Mapping[str, str] | None = None) -> Outcome:
    """Ask one question in a process of its own; the trace goes to the folder."""
    trace_file = folder / "quickstart.jsonl"
    inherited = {key: value for key, value in os.environ.items() if key not in _OPENAI_VARIABLES}
    process = await asyncio.create_subprocess_exec(
        *(_NAT, "run", "--config_file", _WORKFLOW, "--input", question),
        *("--override", "general.telemetry.tracing.trace_file.output_path", str(trace_file)),
        cwd=_ROOT,
        env={**inherited, "PYTHONUTF8": "1", "NO_PROXY": "127.0.0.1", **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
    return Outcome(process.returncode or 0, stdout.decode(), stderr.decode(), list(read_spans(trace_file)))


def assert_one_whole_trace(spans: list[Span]) -> None:
    ids = {span.context.span_id for span in spans}
    roots = [span for span in spans if span.context.parent_span_id is None]
    assert len({span.context.trace_id for span in spans}) == 1
    assert len(roots) == 1
    assert {span.context.parent_span_id for span in spans} <= ids | {None}


async def test_a_question_is_answered_from_the_docs(tmp_path: Path) -> None:
    """Without a model: the answer says where it is from; tree and trace have LLM, RETRIEVER, TOOL and AGENT steps."""
    outcome = await run("How do I keep threads in the same run?", tmp_path)

    assert outcome.code == 0
    assert outcome.result.startswith("No model is configured, so this answer is extracted from the docs:\n")
    assert "carry_context" in outcome.result
    assert_one_whole_trace(outcome.spans)
    assert [len(outcome.of_kind(kind)) for kind in ("CHAIN", "AGENT", "LLM", "RETRIEVER", "TOOL")] == [1, 1, 3, 1, 1]
    assert {span.status.code for span in outcome.spans} == {SpanStatusCode.OK}
    shown = outcome.said.split("exporter ")[0].splitlines()
    assert len(shown) == len(outcome.spans)
    assert all(any(span.name in line for line in shown) for span in outcome.spans)


async def test_extraction_does_not_pass_for_a_model(tmp_path: Path) -> None:
    """No model, provider or token count is made up, and the trace says how the answer came about."""
    outcome = await run("What is a processor?", tmp_path)

    for span in outcome.of_kind("LLM"):
        made_up = [key for key in span.attributes if key.startswith(("llm.model", "llm.provider", "llm.token_count"))]
        assert made_up == []
        assert json.loads(str(span.attributes["metadata"])) == {
            "answered_by": "extraction from the docs; no model is configured"
        }


async def test_a_question_that_matches_nothing_gets_the_pages_there_are(tmp_path: Path) -> None:
    """An answer that the docs do not hold is not invented."""
    outcome = await run("Xyzzy?", tmp_path)

    assert outcome.code == 0
    assert "Nothing in the docs matches the question." in outcome.result
    assert "guide/instrument.md" in outcome.result
    assert [span.name for span in outcome.of_kind("TOOL")] == ["list_pages"]


async def test_the_failing_question_fails_clearly(tmp_path: Path) -> None:
    """Exit code 1, no result, the error in the tree, on its own line, and in the trace at the step that raised it."""
    outcome = await run("What does guide/teleport.md say?", tmp_path)

    assert outcome.code == 1
    assert outcome.result == ""
    assert "✗ tool read_page" in outcome.said
    assert "Error: docs_index.PageNotFoundError: there is no page 'guide/teleport.md'" in outcome.said
    assert "Traceback" not in outcome.said
    assert_one_whole_trace(outcome.spans)
    assert {span.name: span.status.code for span in outcome.spans} == {
        "quickstart": SpanStatusCode.ERROR,
        "docs agent": SpanStatusCode.ERROR,
        "read_page": SpanStatusCode.ERROR,
    }
    tool = outcome.of_kind("TOOL")[0]
    assert tool.attributes["error.type"] == "docs_index.PageNotFoundError"
    assert [event.name for event in tool.events] == ["exception"]


def tool_call(name: str, **arguments: str) -> dict[str, Any]:
    call = {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


@asynccontextmanager
async def endpoint(*messages: dict[str, Any], status: int = 200) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers as OpenAI's chat completions do, one message after the other; its URL and what it was sent."""
    requests: list[dict[str, Any]] = []

    async def complete(request: web.Request) -> web.Response:
        if status != 200:
            return web.json_response({"error": {"message": "no such model"}}, status=status)
        message = messages[len(requests)]
        reason = "tool_calls" if "tool_calls" in message else "stop"
        requests.append({"authorization": request.headers["Authorization"], **await request.json()})
        prompt_tokens = 100 * len(requests)
        return web.json_response(
            {
                "id": f"r{len(requests)}",
                "object": "chat.completion",
                "model": "served-1-2026",
                "choices": [{"index": 0, "finish_reason": reason, "message": message}],
                "usage": {
                    "prompt_tokens": prompt_tokens,
                    "completion_tokens": 7,
                    "total_tokens": prompt_tokens + 7,
                },
            }
        )

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    async with TestServer(app) as server:
        yield str(server.make_url("/v1")), requests


async def test_a_model_is_asked_where_one_is_configured(tmp_path: Path) -> None:
    """Its steps record model, messages, tools and tokens; it gets the results of the tools that it calls."""
    said = [tool_call("search_docs", query="threads"), {"role": "assistant", "content": "Use carry_context."}]
    async with endpoint(*said) as (url, requests):
        configured = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "k1", "OPENAI_MODEL": "served-1"}
        outcome = await run("How do threads work?", tmp_path, configured)

    assert (outcome.code, outcome.result) == (0, "Use carry_context.\n")
    assert_one_whole_trace(outcome.spans)
    assert [(request["authorization"], request["model"]) for request in requests] == [("Bearer k1", "served-1")] * 2
    assert "carry_context" in requests[1]["messages"][-1]["content"]
    first, second = (span.attributes for span in outcome.of_kind("LLM"))
    assert first["llm.model_name"] == second["llm.model_name"] == "served-1"
    assert "llm.provider" not in first
    assert first["llm.input_messages.1.message.content"] == "How do threads work?"
    assert first["llm.output_messages.0.message.tool_calls.0.tool_call.function.name"] == "search_docs"
    assert second["llm.output_messages.0.message.content"] == "Use carry_context."
    tokens = ("llm.token_count.prompt", "llm.token_count.completion", "llm.token_count.total")
    assert [[attributes[key] for key in tokens] for attributes in (first, second)] == [[100, 7, 107], [200, 7, 207]]
    tools = [json.loads(str(first[f"llm.tools.{index}.tool.json_schema"])) for index in range(3)]
    assert [tool["function"]["name"] for tool in tools] == ["search_docs", "read_page", "list_pages"]
    assert "k1" not in json.dumps([span.model_dump(mode="json") for span in outcome.spans])


async def test_a_tool_call_that_fails_is_told_to_the_model(tmp_path: Path) -> None:
    """The model may mend its mistake: the tool's step shows the error, the run goes on."""
    said = [tool_call("read_page", page="nowhere"), {"role": "assistant", "content": "I do not know."}]
    async with endpoint(*said) as (url, requests):
        outcome = await run("How do threads work?", tmp_path, {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "k1"})

    assert (outcome.code, outcome.result) == (0, "I do not know.\n")
    assert requests[1]["messages"][-1]["content"].startswith("error: PageNotFoundError: there is no page 'nowhere'")
    assert {span.name: span.status.code.name for span in outcome.spans} == {
        "quickstart": "OK",
        "docs agent": "OK",
        "chat": "OK",
        "read_page": "ERROR",
    }


@pytest.mark.parametrize("status", [404, 500])
async def test_an_endpoint_that_refuses_is_a_failed_run(tmp_path: Path, status: int) -> None:
    """The message says what the endpoint said, and the failed step names the model that was asked."""
    async with endpoint(status=status) as (url, _):
        configured = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "k1", "OPENAI_MODEL": "served-1"}
        outcome = await run("How do threads work?", tmp_path, configured)

    assert outcome.code == 1
    assert f"chat/completions: HTTP {status} for model 'served-1': " in outcome.said
    assert "no such model" in outcome.said
    model_step = outcome.of_kind("LLM")[0]
    assert model_step.status.code is SpanStatusCode.ERROR
    assert model_step.attributes["llm.model_name"] == "served-1"
