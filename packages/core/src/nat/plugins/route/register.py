"""Registers the processor type `route`."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from nat.observability.registry import register_telemetry_processor
from nat.observability.routing import RouteConfig

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.observability.processor.route_processor import RouteProcessor

__all__ = ["RouteConfig", "route_processor"]


@register_telemetry_processor(config_type=RouteConfig)
async def route_processor(config: RouteConfig, builder: "Builder") -> "AsyncIterator[RouteProcessor[Any]]":
    """Build the processor: the choice alone. For a configured exporter it is made before anything is processed."""
    from nat.data_models.intermediate_step import IntermediateStep
    from nat.data_models.span import Span
    from nat.observability.processor.route_processor import RouteProcessor

    routes = frozenset(config.routes) | ({None} if config.otherwise == "send" else set())
    yield RouteProcessor[Span | IntermediateStep](config.router(), routes)
