"""Who answers: a model behind an OpenAI-compatible endpoint, or, where none is configured, extraction from the docs."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from docs_index import Bm25, sections, words

_DEFAULT_BASE_URL = "https://api.openai.com/v1"
_DEFAULT_MODEL = "gpt-4o-mini"
_TIMEOUT_S = 120.0
_EXCERPT_CHARS = 900

Message = dict[str, Any]


class ModelError(Exception):
    """The endpoint could not be asked, or did not answer as it should."""


def configured_model() -> "Endpoint | Extraction":
    """The model that `OPENAI_BASE_URL`, `OPENAI_API_KEY` and `OPENAI_MODEL` name; without the first two, extraction."""
    base_url, key = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
    if not base_url and not key:
        return Extraction()
    return Endpoint(base_url or _DEFAULT_BASE_URL, key, os.environ.get("OPENAI_MODEL") or _DEFAULT_MODEL)


class Endpoint:
    """A model behind an endpoint that speaks OpenAI's chat completions.

    Attributes:
        step_name: What its steps are called.
        name: Of the model.
        provider: The model's host, `None` if it is not known.
        facts: What else the trace should say.
    """

    step_name = "chat"
    facts: Mapping[str, Any] = {}

    def __init__(self, base_url: str, key: str | None, model: str) -> None:
        self.name = model
        self.provider = "openai" if urlsplit(base_url).hostname == "api.openai.com" else None
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def offered(self, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those tool schemas that it is shown: all of them."""
        return tools

    def complete(self, messages: list[Message], tools: list[dict[str, Any]]) -> dict[str, Any]:
        """Ask for the next message: `choices[0].message` of the response.

        Raises:
            ModelError: It could not be reached, refused, or did not answer with a message.
        """
        body = json.dumps({"model": self.name, "messages": messages, "tools": tools}).encode()
        request = urllib.request.Request(self._url, body, self._headers)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(2000).decode(errors="replace")
            raise ModelError(f"{self._url}: HTTP {error.code} for model {self.name!r}: {said}") from error
        except (OSError, ValueError, HTTPException) as error:
            raise ModelError(f"{self._url}: {error}") from error
        if not _holds_message(answer):
            raise ModelError(f"{self._url}: expected choices[0].message, got {str(answer)[:200]}")
        return dict(answer)


class Extraction:
    """No model: looks up the question, opens the page that fits best, and quotes the section that fits best.

    It answers in the form of a model's responses, but names no model and reports no tokens, since there are none.
    """

    step_name = "extraction"
    name = None
    provider = None
    facts: Mapping[str, Any] = {"answered_by": "extraction from the docs; no model is configured"}

    def offered(self, tools: list[dict[str, Any]]) -> None:
        """None: it follows a fixed plan."""

    def complete(self, messages: list[Message], tools: list[dict[str, Any]]) -> dict[str, Any]:
        """The next step of the plan."""
        question = next(message["content"] for message in messages if message["role"] == "user")
        match _tool_results(messages):
            case []:
                return self._call("search_docs", query=question)
            case [*_, ("search_docs", _, "[]")]:
                return self._call("list_pages")
            case [*_, ("search_docs", _, found)]:
                return self._call("read_page", page=json.loads(found)[0]["metadata"]["page"])
            case [*_, ("search_docs", _, found), ("read_page", arguments, text)]:
                return self._say(
                    _excerpt(question, arguments["page"], text, json.loads(found)[0]["metadata"]["heading"])
                )
            case [*_, ("read_page", arguments, text)]:  # the question named it
                return self._say(_excerpt(question, arguments["page"], text))
            case results:
                pages = ", ".join(json.loads(results[-1][2]))
                return self._say(f"Nothing in the docs matches the question. Their pages: {pages}")

    def _say(self, text: str) -> dict[str, Any]:
        text = f"No model is configured, so this answer is extracted from the docs:\n\n{text}"
        return {"choices": [{"message": {"role": "assistant", "content": text}}]}

    def _call(self, tool: str, **arguments: str) -> dict[str, Any]:
        function = {"name": tool, "arguments": json.dumps(arguments)}
        call = {"id": f"call_{tool}", "type": "function", "function": function}
        return {"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [call]}}]}


def _tool_results(messages: list[Message]) -> list[tuple[str, dict[str, str], str]]:
    """What tools have been called so far, with their arguments and results."""
    results = {message["tool_call_id"]: message["content"] for message in messages if message["role"] == "tool"}
    calls = [call for message in messages for call in message.get("tool_calls", [])]
    return [
        (call["function"]["name"], json.loads(call["function"]["arguments"]), results[call["id"]]) for call in calls
    ]


def _excerpt(question: str, page: str, text: str, heading: str | None = None) -> str:
    """The section of that heading, else the one that matches best; as many of its paragraphs as there is room for."""
    parts = list(sections(page, text))
    scores = Bm25([part.words for part in parts]).scores(words(question))
    best = next((part for part in parts if part.heading == heading), parts[scores.index(max(scores))])
    paragraphs = _paragraphs(best.text)
    kept = paragraphs[:1]
    for paragraph in paragraphs[1:]:
        if sum(map(len, kept)) + len(paragraph) > _EXCERPT_CHARS:
            break
        kept.append(paragraph)
    return "\n\n".join([f'docs/{page}, "{best.heading}":', *kept])


def _paragraphs(text: str) -> list[str]:
    """The paragraphs of a section, code blocks in one piece."""
    paragraphs: list[str] = []
    is_code = False
    for paragraph in text.split("\n\n"):
        if is_code:
            paragraphs[-1] += f"\n\n{paragraph}"
        else:
            paragraphs.append(paragraph)
        is_code ^= sum(line.startswith("```") for line in paragraph.splitlines()) % 2 == 1
    return paragraphs


def _holds_message(answer: Any) -> bool:
    try:
        return isinstance(answer["choices"][0]["message"], dict)
    except (KeyError, IndexError, TypeError):
        return False
