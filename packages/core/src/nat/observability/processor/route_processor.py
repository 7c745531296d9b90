"""Routes: which place a run goes to."""

from collections.abc import Mapping
from typing import TypeVar
from weakref import WeakKeyDictionary

from nat.data_models.intermediate_step import IntermediateStep
from nat.data_models.span import Span
from nat.observability.events import Run
from nat.observability.processor.run_processor import RunProcessor
from nat.observability.snapshot import Snapshot, encode, restore

__all__ = ["RouteProcessor", "Router"]

ItemT = TypeVar("ItemT", bound=Span | IntermediateStep)


class Router:
    """Finds the route of a run: by a value in its metadata, which is compared with known ones and used for nothing else.

    A run that does not say goes where the run goes that it is nested in.

    Args:
        key: Of the metadata.
        routes: The name of the route for each value; values that are no texts are compared as JSON.
    """

    def __init__(self, key: str, routes: Mapping[str, str]) -> None:
        self._key = key
        self._routes = dict(routes)
        self._known: WeakKeyDictionary[Run, str | None] = WeakKeyDictionary()

    def route_of(self, run: Run | None) -> str | None:
        """The name of its route; `None`: there is none for it."""
        if run is None:
            return None
        if run not in self._known:
            self._known[run] = self._find(run)
        return self._known[run]

    def parts(self, metadata: Snapshot, outer: Run) -> bool:
        """Whether a run with this metadata takes another route than the run around it."""
        value = self._value_in(metadata)
        return value is not None and self._routes.get(value) != self.route_of(outer)

    def _find(self, run: Run) -> str | None:
        value = self._value_in(run.metadata)
        return self.route_of(run.outer) if value is None else self._routes.get(value)

    def _value_in(self, metadata: Snapshot) -> str | None:
        fields = restore(metadata)
        value = fields.get(self._key) if isinstance(fields, dict) else None
        return value if value is None or isinstance(value, str) else encode(value).decode()


class RouteProcessor(RunProcessor[ItemT, ItemT]):
    """Passes the items of runs that have a route, or of those with a certain one; the others are dropped.

    Args:
        router: Knows the routes.
        only: Names of routes, `None` among them for runs without any; unless given, all routes.
    """

    def __init__(self, router: Router, only: frozenset[str | None] | None = None) -> None:
        self._router = router
        self._only = only

    async def process_in(self, item: ItemT, run: Run | None) -> ItemT | None:
        """The item, or `None`."""
        route = self._router.route_of(run)
        return item if (route is not None if self._only is None else route in self._only) else None
