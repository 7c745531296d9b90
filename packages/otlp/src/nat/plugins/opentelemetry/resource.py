"""Resources: what a request says of the process that its spans come from.

Sources: OpenTelemetry's semantic conventions 1.41, `service` and `telemetry`: `service.name` must be there and is
`unknown_service:` with the executable's name where nobody has said it.
"""

import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import PurePath
from typing import Any

__all__ = ["SERVICE_NAME", "resource_of"]

SERVICE_NAME = "service.name"


def resource_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes, and before them those that every resource has; a value of `None` is left out."""
    given = {key: value for key, value in attributes.items() if value is not None}
    return {
        SERVICE_NAME: f"unknown_service:{PurePath(sys.executable or 'python').name}",
        "telemetry.sdk.name": "nat-telemetry",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": version("nat-telemetry-core"),
        **given,
    }
