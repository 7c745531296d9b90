"""What identifies this process, as OpenTelemetry's resources do."""

import os
import platform
import socket
import sys
from collections.abc import Mapping
from typing import Any

from nat.utils.pairs import pairs_in

__all__ = ["process_resource"]

_OS_TYPES = {"win32": "windows", "cygwin": "windows", "sunos5": "solaris"}  # others are called by Python as they are


def process_resource(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Attributes of host, system, process and Python, and those that `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` say.

    Raises:
        ValueError: `OTEL_RESOURCE_ATTRIBUTES` is no list of pairs.
    """
    try:
        said = pairs_in(environment.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    except ValueError as error:
        raise ValueError(f"OTEL_RESOURCE_ATTRIBUTES: {error}") from None
    service = environment.get("OTEL_SERVICE_NAME", "").strip()
    return {
        "host.name": socket.gethostname(),
        "os.type": _OS_TYPES.get(sys.platform, sys.platform),
        "process.pid": os.getpid(),
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": platform.python_version(),
        **said,
        **({"service.name": service} if service else {}),
    }
