"""Switches: environment variables of two conventions that hide content, whatever a configuration says.

`OPENINFERENCE_HIDE_*` and `OPENINFERENCE_BASE64_IMAGE_MAX_LENGTH` are OpenInference's ("Configuration", spec/configuration.md);
`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` is OpenTelemetry's (GenAI conventions, "Capturing content"). Unlike there,
no second copy is left: what is hidden of messages is hidden where they stand in the input as a whole, too.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from nat.data_models.step_types import IntermediateStepCategory
from nat.observability.events import CapturedStep
from nat.observability.snapshot import Snapshot, encode, restore
from nat.observability.spans.content import INPUT_ATTRIBUTES, INPUT_FIELDS, OUTPUT_ATTRIBUTES, OUTPUT_FIELDS
from nat.utils.records import replaced

__all__ = ["HIDDEN", "Switches"]

HIDDEN = "__REDACTED__"

_PREFIX = "OPENINFERENCE_HIDE_"
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_IMAGE_LENGTH = "OPENINFERENCE_BASE64_IMAGE_MAX_LENGTH"
_IMAGE_CHARS = 32_000

_Category = IntermediateStepCategory
_IMAGE_TYPES = ("image", "image_url", "input_image")
_TEXT_KEYS = ("content", "text", "arguments", "input")
_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,")


@dataclass(frozen=True, slots=True)
class Switches:
    """What is hidden, as OpenInference calls it; nothing by default.

    Attributes:
        image_chars: Longest image in Base64 that is shown.
    """

    inputs: bool = False
    outputs: bool = False
    input_messages: bool = False
    output_messages: bool = False
    input_images: bool = False
    input_text: bool = False
    output_text: bool = False
    prompts: bool = False
    choices: bool = False
    llm_invocation_parameters: bool = False
    llm_tools: bool = False
    embeddings_vectors: bool = False
    embeddings_text: bool = False
    image_chars: int | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Switches":
        """What the environment says.

        Raises:
            ValueError: A variable does not say what its convention has it say.
        """
        flags = {
            field.name: _flag(f"{_PREFIX}{field.name.upper()}", environment)
            for field in fields(cls)
            if field.name != "image_chars"
        }
        flags["embeddings_vectors"] |= _flag(f"{_PREFIX}EMBEDDING_VECTORS", environment)
        if _hides_content(environment):
            flags["inputs"] = flags["outputs"] = True
        length = environment.get(_IMAGE_LENGTH)
        if length is not None and not length.isdecimal():
            raise ValueError(f"{_IMAGE_LENGTH} is {length!r}, expected a number of characters")
        return cls(**flags, image_chars=None if length is None else int(length))

    @property
    def hide_any(self) -> bool:
        """Whether anything is hidden."""
        return self != Switches()

    def applied(self, step: CapturedStep) -> CapturedStep:
        """The step without what is hidden; itself if that is nothing."""
        category = step.event_type.category
        changes: dict[str, Snapshot] = {}
        is_llm, is_embedder = category is _Category.LLM, category is _Category.EMBEDDER
        if self.inputs or (is_llm and (self.input_messages or self.prompts)) or (is_embedder and self.embeddings_text):
            changes |= {"input": HIDDEN}
        elif is_llm:
            changes |= {"input": self._content(step.input, hides_text=self.input_text, hides_images=self.input_images)}
        if (
            self.outputs
            or (is_llm and (self.output_messages or self.choices))
            or (is_embedder and self.embeddings_vectors)
        ):
            changes |= {"output": HIDDEN, "chunk": HIDDEN}
        elif is_llm and self.output_text:
            changes |= {"output": self._content(step.output, hides_text=True, hides_images=False), "chunk": HIDDEN}
        if self.inputs or self.outputs:
            changes |= {"extra": encode({"value": HIDDEN})}
        changes |= {
            "metadata": self._metadata(step.metadata, is_llm=is_llm),
            "attributes": self._attributes(step.attributes),
        }
        return _changed(step, changes)

    def _metadata(self, metadata: Snapshot, *, is_llm: bool) -> Snapshot:
        names: list[str] = []
        if self.inputs or self.input_messages or self.input_text:
            names += INPUT_FIELDS
        if self.outputs or self.output_messages or self.output_text:
            names += OUTPUT_FIELDS
        if self.llm_tools:
            names += ["tools_schema", "tools"]
        if self.llm_invocation_parameters:
            names += ["parameters", "invocation_parameters"]
        if not names or not (is_llm or self.inputs or self.outputs):
            return metadata
        return _without(metadata, lambda key: key in names)

    def _attributes(self, attributes: Snapshot) -> Snapshot:
        prefixes: list[str] = []
        if self.inputs:
            prefixes += INPUT_ATTRIBUTES
        if self.outputs:
            prefixes += OUTPUT_ATTRIBUTES
        if self.input_messages or self.input_text:
            prefixes += ["llm.input_messages.", "gen_ai.input.messages"]
        if self.output_messages or self.output_text:
            prefixes += ["llm.output_messages.", "gen_ai.output.messages"]
        if self.prompts:
            prefixes += ["llm.prompts", "gen_ai.prompt"]
        if self.choices:
            prefixes += ["llm.choices", "gen_ai.completion"]
        if self.llm_tools:
            prefixes += ["llm.tools", "gen_ai.tool.definitions"]
        if self.llm_invocation_parameters:
            prefixes += ["llm.invocation_parameters"]
        if self.embeddings_vectors or self.embeddings_text:
            prefixes += ["embedding.embeddings."]
        return _without(attributes, lambda key: key.startswith(tuple(prefixes))) if prefixes else attributes

    def _content(self, captured: Snapshot, *, hides_text: bool, hides_images: bool) -> Snapshot:
        """Messages without their texts or images; text alone is hidden as a whole."""
        if captured is None or not (hides_text or hides_images or self.llm_tools or self.image_chars is not None):
            return captured
        if type(captured) is not bytes:
            return HIDDEN if hides_text else captured
        value = restore(captured)
        if self.llm_tools and type(value) is dict:
            value.pop("tools", None)
        return encode(self._part(value, hides_text=hides_text, hides_images=hides_images))

    def _part(self, value: Any, *, hides_text: bool, hides_images: bool) -> Any:
        if type(value) is list:
            return [self._part(item, hides_text=hides_text, hides_images=hides_images) for item in value]
        if type(value) is str:
            return self._image(value)
        if type(value) is not dict:
            return value
        if hides_images and value.get("type") in _IMAGE_TYPES:
            return {"type": value["type"], "text": HIDDEN}
        return {
            key: HIDDEN
            if hides_text and key in _TEXT_KEYS and type(item) is str
            else self._part(item, hides_text=hides_text, hides_images=hides_images)
            for key, item in value.items()
        }

    def _image(self, text: str) -> str:
        limit = _IMAGE_CHARS if self.image_chars is None else self.image_chars
        return HIDDEN if len(text) > limit and _DATA_URL.match(text) else text


def _flag(name: str, environment: Mapping[str, str]) -> bool:
    value = environment.get(name, "").strip().lower()
    if value in ("", "false", "0", "no", "off"):
        return False
    if value in ("true", "1", "yes", "on"):
        return True
    raise ValueError(f"{name} is {environment[name]!r}, expected true or false")


def _hides_content(environment: Mapping[str, str]) -> bool:
    """Whether spans may hold no content: only what is asked for is shown, once anything is said."""
    value = environment.get(_CONTENT, "").strip().upper()
    if value in ("", "SPAN_ONLY", "SPAN_AND_EVENT", "TRUE"):
        return False
    if value in ("NO_CONTENT", "EVENT_ONLY", "FALSE"):
        return True
    raise ValueError(
        f"{_CONTENT} is {environment[_CONTENT]!r}, expected NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT"
    )


def _without(captured: Snapshot, is_hidden: Any) -> Snapshot:
    value = restore(captured)
    if type(value) is not dict or not any(map(is_hidden, value)):
        return captured
    return encode({key: item for key, item in value.items() if not is_hidden(key)})


def _changed(step: CapturedStep, changes: Mapping[str, Snapshot]) -> CapturedStep:
    """A copy with other contents; what was not there stays so."""
    new = {name: value for name, value in changes.items() if getattr(step, name) not in (None, value)}
    if not new:
        return step
    return replaced(step, guarded=None, **new)
