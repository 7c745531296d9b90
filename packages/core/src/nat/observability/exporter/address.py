"""Addresses: where an exporter sends to, as far as it says, fit to be shown."""

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from nat.data_models.component_config import ComponentBaseConfig
from nat.data_models.masking import hide, secret_texts
from nat.data_models.telemetry_exporter import TelemetryExporterBaseConfig

__all__ = ["address_of", "protocol_of", "shown_text"]

_KEYS = ("endpoint", "url", "base_url")  # of configurations, where the exporter itself says nothing


def address_of(exporter: object, config: TelemetryExporterBaseConfig) -> str | None:
    """The exporter's attribute `endpoint`, else what its configuration says; without user, password and query of a URL."""
    given = _text(exporter, "endpoint") or next(filter(None, (_text(config, key) for key in _KEYS)), None)
    return None if given is None else shown_text(_without_credentials(given), config)


def protocol_of(exporter: object) -> str | None:
    """The exporter's attribute `protocol`, such as `grpc`."""
    return _text(exporter, "protocol")


def shown_text(text: str, config: ComponentBaseConfig) -> str:
    """An author's text, without the values of the config's secret fields."""
    given = {key: getattr(config, key, None) for key in config.model_fields_set}
    return hide(text, secret_texts(given, config.is_secret))


def _text(holder: object, name: str) -> str | None:
    try:
        value: Any = getattr(holder, name, None)
    except Exception:  # an author's property
        return None
    return value if isinstance(value, str) and value else None


def _without_credentials(given: str) -> str:
    if "://" not in given:
        return given
    try:
        parts = urlsplit(given)
    except ValueError:
        return given.partition("://")[0] + "://…"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
