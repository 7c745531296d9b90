"""An agent that answers questions about this project from its documentation.

A plain loop: ask the model, run the tools that it wants, ask again. What makes it traceable are the four `@observe` and the
one `step`; `nat run` opens the run around `answer`, and everything that happens inside hangs below it.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nat.observability import observe, step

from chat import Message, configured_model
from docs_index import DocsIndex

_DOCS = DocsIndex(
    Path(__file__).resolve().parents[3] / "docs",
    without=["index.md", "reference/contract.md"],  # links, and a table of tests
)
_MAX_TURNS = 8
_PAGE_NAME = re.compile(r"(?:docs/)?([\w/-]+\.md)\b")
_INSTRUCTIONS = (
    "You answer questions about a telemetry library for Python agents. Answer only from its documentation: search it, read "
    "the pages that matter, and name the page you took the answer from. If the documentation does not say, say so."
)


@observe(kind="agent", name="docs agent")
def answer(question: str) -> str:
    """Answer one question.

    A page that the question names (`guide/instrument.md`) is read before anything else.

    Raises:
        PageNotFoundError: There is no such page.
        ModelError: The configured model could not be asked.
        RuntimeError: The model wants more and more tools.
    """
    messages: list[Message] = [
        {"role": "system", "content": _INSTRUCTIONS},
        {"role": "user", "content": question},
    ]
    for number, page in enumerate(_PAGE_NAME.findall(question)):
        call = _call(f"named_{number}", "read_page", page=page)
        messages += [{"role": "assistant", "content": None, "tool_calls": [call]}, run_tool(call)]
    for _ in range(_MAX_TURNS):
        reply = ask(messages)
        messages.append(reply)
        calls = reply.get("tool_calls")
        if not calls:
            return reply.get("content") or ""
        messages += [run_tool_or_say_why_not(call) for call in calls]
    raise RuntimeError(f"no answer after {_MAX_TURNS} turns: the model asks for more tools each time")


def ask(messages: list[Message]) -> Message:
    """What the model says next: text, or the tools that it wants to be called."""
    model = configured_model()
    with step(
        model.step_name,
        kind="llm",
        input=messages,
        model=model.name,
        provider=model.provider,
        tools=model.offered(TOOL_SCHEMAS),
        metadata=model.facts,
    ) as current:
        current.output = response = model.complete(messages, TOOL_SCHEMAS)  # token counts are read from it
        message: Message = response["choices"][0]["message"]
        return message


@observe(kind="retriever")
def search_docs(query: str) -> list[dict[str, Any]]:
    """Sections of the documentation that match best, with their ids and scores."""
    return _DOCS.search(query, limit=4)


@observe(kind="tool")
def read_page(page: str) -> str:
    """A whole page, by its path below `docs/`."""
    return _DOCS.page(page)


@observe(kind="tool")
def list_pages() -> list[str]:
    """The paths of all pages."""
    return _DOCS.pages


def run_tool(call: dict[str, Any]) -> Message:
    """Run the tool that a model asks for; its result as a message."""
    tool = TOOLS[call["function"]["name"]]
    result = tool(**json.loads(call["function"]["arguments"] or "{}"))
    content = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
    return {"role": "tool", "tool_call_id": call["id"], "content": content}


def run_tool_or_say_why_not(call: dict[str, Any]) -> Message:
    """Like `run_tool`; a mistake of the model's is told to the model. The tool's own step shows the error all the same."""
    try:
        return run_tool(call)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        content = f"error: {type(error).__name__}: {error}"
        return {"role": "tool", "tool_call_id": call["id"], "content": content}


TOOLS: dict[str, Callable[..., Any]] = {tool.__name__: tool for tool in (search_docs, read_page, list_pages)}


def _call(call_id: str, tool: str, **arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}}


def _schema(tool: Callable[..., Any], **parameters: str) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in parameters.items()}
    return {
        "type": "function",
        "function": {
            "name": tool.__name__,
            "description": tool.__doc__,
            "parameters": {"type": "object", "properties": properties, "required": list(properties)},
        },
    }


TOOL_SCHEMAS = [
    _schema(search_docs, query="A few words to look for."),
    _schema(read_page, page="As in guide/instrument.md; search results and list_pages name pages."),
    _schema(list_pages),
]
