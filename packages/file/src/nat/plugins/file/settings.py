"""What can be set, apart from the code that writes: listing the package's settings loads none of that."""

from typing import Literal, TypeAlias

__all__ = ["DEFAULT_MAX_FILES", "DEFAULT_MAX_FILE_SIZE_BYTES", "FileFormat", "FileMode"]

FileFormat: TypeAlias = Literal["steps", "spans", "otlp_json"]
FileMode: TypeAlias = Literal["append", "overwrite"]

DEFAULT_MAX_FILE_SIZE_BYTES = 10_485_760
DEFAULT_MAX_FILES = 5
