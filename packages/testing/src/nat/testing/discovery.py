"""Discovery: what being listed, and having its configuration checked, makes a type import."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["heavy_modules_after"]

_WAIT_S = 60.0
_HEAVY_MODULES = (
    "aiohttp",
    "boto3",
    "google.protobuf",
    "grpc",
    "httpx",
    "opentelemetry",
    "requests",
    "urllib3",
)
_PROGRAM = """
import json, sys
from importlib import import_module
from nat.observability.component import KINDS
from nat.observability.registry import components, resolve
for module in {modules!r}:
    import_module(module)
listed = {{row.type for row in components() if row.kind == {kind!r}}}
assert {type!r} in listed, f"{type!r} is not among {{sorted(listed)}}"
kind = next(kind for kind in KINDS if kind.name == {kind!r})
resolve({type!r}, kind).config_type(**{settings!r})
print(json.dumps(sorted(name for name in {heavy!r} if name in sys.modules)))
"""


def heavy_modules_after(type_name: str, kind: str, modules: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
    """The heavy modules that a new process has loaded once it has listed everything, and checked this configuration.

    Raises:
        AssertionError: The type is not listed, or its configuration is refused.
    """
    program = _PROGRAM.format(
        modules=list(modules), type=type_name, kind=kind, settings=dict(settings), heavy=_HEAVY_MODULES
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=_WAIT_S)
    assert done.returncode == 0, f"listing {type_name!r} failed: {done.stderr}"
    loaded: list[str] = json.loads(done.stdout)
    return loaded
