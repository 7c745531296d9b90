"""Run groups: the spans of each run, kept until it is over and then sent as one list."""

from collections.abc import Callable, Collection, Iterable

from nat.data_models.span import Span
from nat.observability.pipeline import Envelope

__all__ = ["RunGroups", "list_of"]

_KNOWN = 4_096  # traces that were sent; what comes for an older one waits for the shutdown


class RunGroups:
    """Envelopes by trace, until everything that is to come of a trace has come.

    What comes for a trace that was complete before goes at once: nobody knows whether more will come.

    Args:
        most: Spans of one list; a trace that has more goes as several.
        most_bytes: Bytes of one list, as far as its items were measured; `None` sets no limit.
        ends_with_root: A trace is over when its root span has come; else only `end` says so.
    """

    def __init__(self, most: int, most_bytes: int | None = None, *, ends_with_root: bool = False) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._ends_with_root = ends_with_root
        self._groups: dict[int, list[Envelope]] = {}
        self._over: set[int] = set()
        self._sent: dict[int, None] = {}  # in order, the latest last

    def add(self, envelope: Envelope) -> list[Envelope]:
        """Take a span; the lists that are full now. What is no span is passed on as it is, in a list of its own."""
        span = envelope.value
        if not isinstance(span, Span):
            return [list_of([envelope])]
        trace_id = span.context.trace_id
        full = []
        group = self._groups.setdefault(trace_id, [])
        if group and self._is_full(group, envelope):
            full.append(list_of(group))
            group = self._groups[trace_id] = []
        group.append(envelope)
        if trace_id in self._sent or (self._ends_with_root and span.context.parent_span_id is None):
            self._over.add(trace_id)
        return full

    def end(self, trace_id: int) -> None:
        """A run of the trace is over."""
        self._over.add(trace_id)

    def complete(self, going_on: Callable[[], Collection[int]]) -> list[Envelope]:
        """The lists of traces that are over, but for those in which another run goes on."""
        if not self._over:
            return []
        over = self._over - set(going_on())
        self._over -= over
        for trace_id in over:
            self._remember(trace_id)
        return [list_of(group) for trace_id in over if (group := self._groups.pop(trace_id, None))]

    def take(self) -> list[Envelope]:
        """Everything that waits, also of runs that are not over; nothing is left."""
        groups = list(self._groups.values())
        self._groups.clear()
        return [list_of(group) for group in groups]

    def _remember(self, trace_id: int) -> None:
        self._sent[trace_id] = None
        if len(self._sent) > _KNOWN:
            del self._sent[next(iter(self._sent))]

    def _is_full(self, group: list[Envelope], envelope: Envelope) -> bool:
        if len(group) >= self._most:
            return True
        size = envelope.size_bytes + sum(one.size_bytes for one in group)
        return self._most_bytes is not None and size > self._most_bytes


def list_of(envelopes: Iterable[Envelope]) -> Envelope:
    """Envelopes of single items as one with a list; it may mix runs, so that the exporter itself sends it."""
    group = list(envelopes)
    counts = [envelope.count for envelope in group]
    whole = Envelope([envelope.value for envelope in group], None, sum(counts))
    whole.counts, whole.ready_at_s = counts, group[0].ready_at_s
    whole.trace_ids = [None if envelope.run is None else envelope.run.trace_id for envelope in group]
    return whole
