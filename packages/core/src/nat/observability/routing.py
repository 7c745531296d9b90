"""Routing: an exporter whose runs go to different places, by settings that are written for each.

Every route is an exporter of its own: with a lane, batches, a spool and counts of its own, so what is of one tenant never is in
a request with anything of another, and the outage of one holds up no other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig
from nat.data_models.telemetry_processor import TelemetryProcessorBaseConfig
from nat.observability.processor.route_processor import Router

__all__ = ["Route", "RouteConfig", "misfits", "settings_of"]

_MOST_ROUTES = 100  # each has an exporter of its own
_VALUES = "values"


@dataclass(frozen=True, slots=True)
class Route:
    """Which runs of an exporter an entry takes.

    Attributes:
        exporter: What the exporter is called in the configuration.
        router: Knows which route a run takes; all entries of the exporter share it.
        name: The entry's route; `None`: of runs that have none.
        is_withheld: Whether nothing is made of these runs but a number.
    """

    exporter: str
    router: Router
    name: str | None
    is_withheld: bool = False


def _not_empty(value: Any) -> Any:
    """Where a route says nothing, an environment variable might: that of another tenant."""
    if value in (None, "") or (isinstance(value, Mapping) and any(part in (None, "") for part in value.values())):
        raise ValueError("is empty, expected what goes for this route alone; leave it out to have the entry's own")
    return value


_Settings = Annotated[dict[str, Annotated[Any, AfterValidator(_not_empty)]], Field(min_length=1)]


class RouteConfig(TelemetryProcessorBaseConfig, name="route"):
    """Sends the runs of each tenant to a place of its own: by a value in the run's metadata, which only chooses."""

    for_one_exporter: ClassVar[bool] = True

    by: str = Field(
        min_length=1, description="The key of a run's metadata whose value chooses the route.", examples=["tenant"]
    )
    routes: dict[str, _Settings] = Field(
        min_length=1,
        max_length=_MOST_ROUTES,
        description="For each value the exporter's settings in place of the entry's: where to, under which project, with which "
        "headers or keys. The name stands for the value, unless `values` lists those that it is for.",
        examples=[{"acme": {"project": "acme-agents"}}],
    )
    otherwise: Literal["withhold", "send"] = Field(
        description="Runs without a value, or with another one. withhold: they are counted and not sent; send: as the entry "
        "itself says.",
        examples=["withhold"],
    )

    @model_validator(mode="after")
    def _each_value_once(self) -> Self:
        taken: dict[str, str] = {}
        for name in self.routes:
            if not name:
                raise ValueError("routes holds one without a name, expected the value that it is for")
            for value in self._values_of(name):
                if taken.setdefault(value, name) != name:
                    raise ValueError(f"routes {taken[value]!r} and {name!r} are both for {value!r}; expected one")
        return self

    def _values_of(self, name: str) -> list[str]:
        values = self.routes[name].get(_VALUES, [name])
        if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
            raise ValueError(f"values of route {name!r} is {values!r}, expected a list of texts")
        return values

    def router(self) -> Router:
        """What finds the route of a run."""
        return Router(self.by, {value: name for name in self.routes for value in self._values_of(name)})


def misfits(
    config_type: type[TelemetryExporterBaseConfig], route: RouteConfig
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What of the routes is not for exporters of a type: where in the processor's settings, and what is wrong."""
    type_name, keys = config_type.static_type(), sorted(config_type.route_keys)
    if not keys:
        yield (
            (),
            (
                f"exporters of type {type_name} cannot be routed: no setting of theirs says where runs go or on whose account"
            ),
        )
        return
    for name, settings in route.routes.items():
        for key in settings:
            if key != _VALUES and key not in config_type.route_keys:
                yield (
                    ("routes", name, key),
                    f"cannot be chosen by a route; exporters of type {type_name} can be routed by {', '.join(keys)}",
                )
        if not settings.keys() - {_VALUES}:
            yield ("routes", name), f"says nothing that differs, expected one of: {', '.join(keys)}"


def settings_of(route: RouteConfig, name: str, general: Mapping[str, Any]) -> dict[str, Any]:
    """An exporter's settings for one route: what the route says, before what the entry says; mappings key by key."""
    settings = dict(general)
    for key, value in route.routes[name].items():
        if key == _VALUES:
            continue
        before = settings.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = _over(value, before, fold=key == "headers")
        settings[key] = value
    return settings


def _over(own: Mapping[str, Any], general: Mapping[str, Any], *, fold: bool) -> dict[str, Any]:
    """Both, `own` before `general`; names of headers are the same in small letters."""

    def same(key: str) -> str:
        return key.lower() if fold else key

    taken = {same(key) for key in own}
    return {**{key: value for key, value in general.items() if same(key) not in taken}, **own}
