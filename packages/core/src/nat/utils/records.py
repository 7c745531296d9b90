"""Records: objects that are made for every span and may wait for long, as cheap as the installation allows.

With msgspec (extra `fast`, which exporters of OTLP bring along) they are structs in C: made in a third of the time, and, with
`gc=False`, nothing that the garbage collector looks into. Without it they are dataclasses, which behave the same and cost more.

```python
class Point(Record, gc=False):
    x: int
    y: int = 0
```
"""

__all__ = ["Record", "replaced", "values_of"]

try:
    from msgspec import Struct as Record
    from msgspec.structs import astuple as values_of
    from msgspec.structs import replace as replaced
except ImportError:
    from dataclasses import dataclass
    from dataclasses import replace as replaced  # type: ignore[assignment]  # of dataclasses, not of structs
    from typing import Any, dataclass_transform

    @dataclass_transform()
    class Record:  # type: ignore[no-redef]  # the same, in Python
        """A class whose annotations are its fields.

        Args:
            eq: Whether two of the same fields are equal; else each is itself only.
            gc: Of no meaning here.
        """

        def __init_subclass__(cls, *, eq: bool = True, gc: bool = True) -> None:
            dataclass(eq=eq)(cls)

    def values_of(record: Any) -> tuple[Any, ...]:  # type: ignore[misc]  # of any object
        """The values of its fields, in their order."""
        return tuple(vars(record).values())
