"""`nat info`: which exporters and processors are installed, and what settings each has."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from nat.cli.debug import debug_option

if TYPE_CHECKING:
    from nat.observability.registry import Component

__all__ = ["info"]

_KINDS = ("tracing", "processing")


@click.group()
def info() -> None:
    """Show installed exporters and processors, and their settings."""


@info.command(short_help="List what is installed.")
@click.option(
    "-t",
    "--types",
    "kinds",
    multiple=True,
    type=click.Choice(_KINDS),
    help="Show components of this kind only; may be repeated. All kinds if left out.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of objects.")
@debug_option
def components(kinds: tuple[str, ...], as_json: bool) -> None:
    """List the components of all installed distributions.

    A component that cannot be loaded is listed with the reason.
    """
    from nat.cli.environment import require_own_environment
    from nat.observability.component import KINDS
    from nat.observability.registry import components

    require_own_environment()
    with _without_warnings():  # the list itself says what does not load
        found = components([kind for kind in KINDS if not kinds or kind.name in kinds])
    if as_json:
        _print_json(found)
    else:
        _print_list(found, with_missing=not kinds or "tracing" in kinds)


@info.command(short_help="Show the settings of one exporter.")
@click.argument("type_name", metavar="TYPE")
@debug_option
def exporter(type_name: str) -> None:
    """Show the settings of the exporter TYPE: what they mean, their types and defaults, and an example."""
    from nat.cli.environment import require_own_environment
    from nat.cli.settings import describe_settings
    from nat.observability.registry import resolve

    require_own_environment()
    click.echo("\n".join(describe_settings(resolve(type_name))))


@info.command(short_help="Show the settings of one processor.")
@click.argument("type_name", metavar="TYPE")
@debug_option
def processor(type_name: str) -> None:
    """Show the settings of the processor TYPE: what they mean, their types and defaults, and an example."""
    from nat.cli.environment import require_own_environment
    from nat.cli.settings import describe_settings
    from nat.observability.component import PROCESSOR
    from nat.observability.registry import resolve

    require_own_environment()
    click.echo("\n".join(describe_settings(resolve(type_name, PROCESSOR))))


@contextmanager
def _without_warnings() -> Iterator[None]:
    logger = logging.getLogger("nat.observability.registry")

    def is_not_a_warning(record: logging.LogRecord) -> bool:
        return record.levelno != logging.WARNING

    logger.addFilter(is_not_a_warning)
    try:
        yield
    finally:
        logger.removeFilter(is_not_a_warning)


def _print_json(components: "list[Component]") -> None:
    import json

    keys = ("package", "version", "kind", "type", "description", "loads", "reason")
    rows: list[dict[str, Any]] = [{key: getattr(component, key) for key in keys} for component in components]
    click.echo(json.dumps(rows, indent=2, ensure_ascii=False))


def _print_list(components: "list[Component]", *, with_missing: bool) -> None:
    from nat.cli.tables import print_table

    if components:
        rows = [_row(component) for component in components]
        print_table(["package", "version", "kind", "type", "description"], rows)
    else:
        click.echo("No component of that kind is installed.")
    if with_missing:
        _print_missing()


def _row(component: "Component") -> list[str]:
    description = component.description
    if component.reason is not None:
        description = component.reason if component.loads else f"does not load: {component.reason}"
    return [component.package, component.version or "", component.kind, component.type, description]


def _print_missing() -> None:
    from nat.observability.registry import install_command, missing_own_types

    missing = missing_own_types()
    commands: dict[str, list[str]] = {}
    for own in missing:
        commands.setdefault(install_command(own.type) or "", []).append(own.type)
    if missing:
        each = "; ".join(f"{', '.join(types)} ({command})" for command, types in commands.items())
        click.echo(f"Not installed: {each}.")
