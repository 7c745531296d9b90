"""Fields of presets: what an environment variable gives where the configuration is silent, and what can be sent.

```python
api_key: Annotated[str, from_variables("ACME_API_KEY")] = Field(default="", validate_default=True)
```

Light, only pydantic is imported here.
"""

import os
from collections.abc import Callable
from typing import Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from nat.plugins.opentelemetry.endpoints import grpc_endpoint, http_endpoint

__all__ = ["IS_ADDRESS", "IS_HEADER", "IS_URL", "from_variables"]


def from_variables(
    *names: str, default: str | None = None, derived: Callable[[], str | None] = lambda: None
) -> BeforeValidator:
    """For a field whose default is empty: an empty value is that of the first of these variables that is not empty.

    Args:
        names: The variables, the one to tell users first.
        default: What it is if they are all empty; without, that is an error which names them.
        derived: Gives a value that comes before the default.
    """

    def fill(value: Any) -> Any:
        if value is not None and (not isinstance(value, str) or value.strip()):
            return value
        found = next(filter(None, (os.environ.get(name, "").strip() for name in names)), None) or derived() or default
        if found is None:
            raise PydanticCustomError(
                "not_set", "is empty; set it or the environment variable {variables}", {"variables": " or ".join(names)}
            )
        return found

    return BeforeValidator(fill)


def _is_url(given: str) -> str:
    return _checked(http_endpoint, given)


def _is_address(given: str) -> str:
    return _checked(grpc_endpoint, given)


def _checked(check: Callable[[str], object], given: str) -> str:
    try:
        check(given)
    except ValueError as error:
        raise PydanticCustomError("no_url", "{reason}", {"reason": str(error)}) from None
    return given


def _is_header(given: str) -> str:
    if not (given.isascii() and given.isprintable()):
        raise PydanticCustomError(
            "no_header",
            "is {given}, expected letters, digits and signs of ASCII only, since it is sent as a header",
            {"given": repr(given)},
        )
    return given.strip()


IS_URL = AfterValidator(_is_url)
"""For a field that takes a URL."""

IS_ADDRESS = AfterValidator(_is_address)
"""For a field that takes a URL, or host and port for gRPC."""

IS_HEADER = AfterValidator(_is_header)
"""For a field that is sent as a header."""
