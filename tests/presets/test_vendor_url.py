"""Endpoints of vendors: a base, a base with a part of the path, or the whole."""

import pytest

from nat.plugins.opentelemetry.vendor_url import vendor_url


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://host", "https://host/otel/v1/traces"),
        ("https://host/", "https://host/otel/v1/traces"),
        (" https://host:8443 ", "https://host:8443/otel/v1/traces"),
        ("https://host/otel", "https://host/otel/v1/traces"),
        ("https://host/otel/v1/", "https://host/otel/v1/traces"),
        ("https://host/otel/v1/traces", "https://host/otel/v1/traces"),
        ("https://host/otel/v1/traces/", "https://host/otel/v1/traces"),
        ("https://host/api/v1", "https://host/api/v1/otel/v1/traces"),
        ("https://host/hotel", "https://host/hotel/otel/v1/traces"),
        ("https://host/own/traces", "https://host/own/traces"),
        ("https://user:word@host?key=1", "https://user:word@host/otel/v1/traces?key=1"),
    ],
)
def test_what_is_missing_is_appended(given: str, expected: str) -> None:
    assert vendor_url(given, "/otel/v1/traces") == expected
