"""The guard: redaction of what was captured, once for all lanes that want the same, before anybody describes it."""

import os
from collections.abc import Callable
from typing import Any

from nat.observability.events import CapturedError, CapturedStep, FunctionRef, Run
from nat.observability.redaction.redactor import Redactor
from nat.observability.redaction.rules import Rules
from nat.observability.redaction.switches import Switches
from nat.observability.snapshot import Snapshot, encode, restore
from nat.observability.spans.capture import CapturedSpan
from nat.utils.forking import keep_for_ever
from nat.utils.records import values_of

__all__ = ["Guard", "guard_of"]


class Guard:
    """Gives captured spans and steps without what rules say must not be in them.

    What is clean is given back itself; for the rest there is one copy, made once, which shares its description with all who get
    it. Thread-safe.

    Args:
        redactor: Takes it out.
        switches: Say what is hidden besides.
    """

    def __init__(self, redactor: Redactor, switches: Switches) -> None:
        self._redactor = redactor
        self._switches = switches if switches.hide_any else None

    def span(self, span: CapturedSpan) -> CapturedSpan:
        """A captured span, its run included."""
        guarded = span.guarded
        if guarded is not None and guarded[0] is self:
            return guarded[1] or span
        run = self._run(span.run)
        copy = None
        if run is not span.run or self._switches is not None or not self._redactor.is_clean(_texts_of_span(span)):
            copy = self._redacted_span(span, run)
        span.guarded = (self, copy)
        return copy or span

    def step(self, step: CapturedStep) -> CapturedStep:
        """A captured step."""
        guarded = step.guarded
        if guarded is not None and guarded[0] is self:
            return guarded[1] or step
        shown = step if self._switches is None else self._switches.applied(step)
        redacted = shown if self._redactor.is_clean(_texts_of_step(shown)) else self._redacted(shown)
        step.guarded = (self, None if redacted is step else redacted)
        return redacted

    def look(self, value: Any) -> Any:
        """What has passed other processors, once more."""
        return self._redactor.look(value)

    def _redacted_span(self, span: CapturedSpan, run: Run) -> CapturedSpan | None:
        start = self.step(span.start)
        end = span.end if span.end is None else start if span.end is span.start else self.step(span.end)
        if start is span.start and end is span.end and run is span.run:
            return None
        copy = CapturedSpan(start, run)
        copy.end, copy.end_ns, copy.size_bytes = end, span.end_ns, span.size_bytes
        copy.first_chunk_ns, copy.chunk_count = span.first_chunk_ns, span.chunk_count
        return copy

    def _run(self, run: Run) -> Run:
        guarded = run.guarded
        if guarded is not None and guarded[0] is self:
            return guarded[1] or run
        copy = None if self._redactor.is_clean(_texts_of_run(run)) else self._redacted_run(run)
        run.guarded = (self, copy)
        return copy or run

    def _redacted_run(self, run: Run) -> Run:
        text = self._redactor.text
        return Run(
            trace_id=run.trace_id,
            name=_each(text, run.name),
            owner=run.owner,
            root_id=_each(self._redactor.identity, run.root_id),
            session_id=_each(text, run.session_id),
            user_id=_each(text, run.user_id),
            tags=tuple(map(text, run.tags)),
            metadata=self._snapshot(run.metadata),
            outer=run.outer,
        )

    def _redacted(self, step: CapturedStep) -> CapturedStep:
        text, identity, of = self._redactor.text, self._redactor.identity, self._snapshot
        error, function = step.error, step.function
        return CapturedStep(
            step.event_type,
            identity(step.step_id),
            identity(step.parent_id),
            _each(text, step.name),
            step.time_ns,
            run=step.run,
            function=None if function is None else FunctionRef(
                identity(function.id),
                text(function.name),
                _each(identity, function.parent_id),
                _each(text, function.parent_name),
            ),
            metadata=of(step.metadata),
            tags=tuple(map(text, step.tags)),
            input=of(step.input),
            output=of(step.output),
            usage=step.usage,
            error=None if error is None else CapturedError(
                text(error.type), text(error.message), _each(text, error.stacktrace)
            ),
            attributes=of(step.attributes),
            chunk=of(step.chunk),
            framework=_each(text, step.framework),
            timestamp=step.timestamp,
            started_ns=step.started_ns,
            has_trace_metadata=step.has_trace_metadata,
            extra=of(step.extra),
        )  # fmt: skip

    def _snapshot(self, captured: Snapshot) -> Snapshot:
        if type(captured) is not bytes:
            result: Snapshot = self._redactor.value(captured)
            return result
        value = restore(captured)
        redacted = self._redactor.value(value)
        return captured if redacted is value else encode(redacted)


_guards: dict[tuple[Rules, Switches], Guard] = {}


def guard_of(rules: Rules, switches: Switches) -> Guard:
    """The guard of these rules and switches: the same for all who ask, so that they share what it gives."""
    guard = _guards.get((rules, switches))
    return guard or _guards.setdefault((rules, switches), Guard(Redactor(rules), switches))


def _leave_to_parent() -> None:
    """In a forked child: another thread may have been searching, so patterns are compiled again and the old ones let be."""
    global _guards
    keep_for_ever(_guards)
    _guards = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def _each(change: Callable[[str], str], text: str | None) -> str | None:
    return None if text is None else change(text)


def _texts_of_span(span: CapturedSpan) -> bytes:
    """Everything that a span's steps say, to be looked through at once; what both say is said once."""
    start, end = span.start, span.end
    texts, data = [start.step_id, start.parent_id], list[bytes]()
    if start.name:
        texts.append(start.name)
    if start.function is not None:
        texts += filter(None, values_of(start.function))
    _collect(start, texts, data)
    if end is not None and end is not start:
        if end.name and end.name is not start.name:
            texts.append(end.name)
        if end.function is not None and end.function is not start.function:
            texts += filter(None, values_of(end.function))
        if end.parent_id is not start.parent_id:
            texts.append(end.parent_id)
        _collect(end, texts, data)
    data.append("\n".join(texts).encode("utf-8", "replace"))
    return b"\n".join(data)


def _texts_of_step(step: CapturedStep) -> bytes:
    """Everything that a step says, to be looked through at once."""
    texts, data = [step.step_id, step.parent_id], list[bytes]()
    if step.name:
        texts.append(step.name)
    if step.function is not None:
        texts += filter(None, values_of(step.function))
    _collect(step, texts, data)
    data.append("\n".join(texts).encode("utf-8", "replace"))
    return b"\n".join(data)


def _collect(step: CapturedStep, texts: list[str], data: list[bytes]) -> None:
    """Add what a step says beside names and ids; each of them costs time in every span."""
    for value in (step.input, step.output, step.metadata, step.attributes, step.chunk, step.extra):
        if value is not None:
            if type(value) is bytes:
                data.append(value)
            else:
                texts.append(value if type(value) is str else str(value))
    if step.tags:
        texts += step.tags
    if step.framework:
        texts.append(step.framework)
    if step.error is not None:
        texts += filter(None, step.error)


def _texts_of_run(run: Run) -> bytes:
    parts = [text for text in (run.name, run.root_id, run.session_id, run.user_id, *run.tags) if text]
    if run.metadata is not None:
        parts.append(run.metadata.decode() if type(run.metadata) is bytes else str(run.metadata))
    return "\n".join(parts).encode("utf-8", "replace")
