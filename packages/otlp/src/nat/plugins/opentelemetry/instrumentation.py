"""Instrumentation: OpenTelemetry's, of HTTP clients and grpcio, which must not trace the sending of traces."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["uninstrumented"]


@contextmanager
def uninstrumented() -> Iterator[None]:
    """What is sent inside is not traced by a program's own OpenTelemetry set-up.

    Nothing is imported for it: where OpenTelemetry's API is not loaded, nobody traces with it.
    """
    api = sys.modules.get("opentelemetry.context")
    key = getattr(api, "_SUPPRESS_INSTRUMENTATION_KEY", None)
    if api is None or key is None:
        yield
        return
    token = api.attach(api.set_value(key, True))
    try:
        yield
    finally:
        api.detach(token)
