"""Variables: settings that an environment variable gives where the configuration is silent.

```python
api_key: Annotated[str, from_variables("ACME_API_KEY")] = Field(default="", validate_default=True)
```

Light, only pydantic is imported here.
"""

import os
from collections.abc import Callable
from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

__all__ = ["from_variables"]


def from_variables(*names: str, default: str | None = None) -> BeforeValidator:
    """For a field whose default is empty: an empty value is that of the first of these variables that is not empty.

    Args:
        names: The variables, the one to tell users first.
        default: What it is if they are all empty; without, that is an error which names them.
    """
    return BeforeValidator(_filler(names, default))


def _filler(names: tuple[str, ...], default: str | None) -> Callable[[Any], Any]:
    def fill(value: Any) -> Any:
        if value is not None and (not isinstance(value, str) or value.strip()):
            return value
        found = next(filter(None, (os.environ.get(name, "").strip() for name in names)), default)
        if found is None:
            raise PydanticCustomError(
                "not_set", "is empty; set it or the environment variable {variables}", {"variables": " or ".join(names)}
            )
        return found

    return fill
