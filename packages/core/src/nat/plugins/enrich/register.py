"""Registers the processor type `enrich`."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nat.observability.registry import register_telemetry_processor
from nat.plugins.enrich.settings import EnrichConfig, PricesConfig

if TYPE_CHECKING:
    from nat.builder.builder import Builder
    from nat.observability.processor.enrich_processor import CostRules, EnrichProcessor

__all__ = ["EnrichConfig", "PricesConfig", "enrich_processor"]

_log = logging.getLogger("nat.observability.processor")


@register_telemetry_processor(config_type=EnrichConfig)
async def enrich_processor(config: EnrichConfig, builder: "Builder") -> "AsyncIterator[EnrichProcessor]":
    """Build the processor."""
    from nat.observability.processor.enrich_processor import EnrichProcessor
    from nat.observability.processor.run_totals import RunTotals
    from nat.observability.processor.template import Template

    yield EnrichProcessor(
        constant=await asyncio.to_thread(_constant, config),  # it may read files
        templates={key: Template(template) for key, template in config.computed.items()},
        costs=None if config.prices is None else _cost_rules(config.prices),
        totals=RunTotals(has_prices=config.prices is not None) if config.roll_up else None,
    )


def _constant(config: EnrichConfig) -> dict[str, Any]:
    """What all items get; what is written by name wins."""
    from nat.observability.processor.git_revision import revision_of
    from nat.observability.processor.process_resource import process_resource

    found: dict[str, Any] = process_resource() if config.resource else {}
    if config.git:
        revision = revision_of(Path() if config.git is True else Path(config.git))
        if not revision:
            _log.warning(
                "enrich: git: neither a repository nor a variable such as GIT_COMMIT names a revision; none is added"
            )
        found |= revision
    if config.environment is not None:
        found["deployment.environment.name"] = config.environment
    return found | config.attributes


def _cost_rules(config: PricesConfig) -> "CostRules":
    from nat.observability.processor.enrich_processor import CostRules
    from nat.observability.processor.prices import Price, PriceTable

    prices = {model: Price(**price.model_dump()) for model, price in config.models.items()}
    return CostRules(PriceTable(prices), config.currency, config.usd_rate or 1.0)
