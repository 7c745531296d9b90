"""Document: a YAML file as plain values, with the place of each of them, and changes from the command line."""

from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

import yaml

from nat.data_models.errors import ConfigurationError, Problem
from nat.runtime.interpolation import Path

__all__ = ["Document", "dotted"]

_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_MERGE = "tag:yaml.org,2002:merge"
_MAP = "tag:yaml.org,2002:map"
_SEQ = "tag:yaml.org,2002:seq"


class Document:
    """What a YAML file says.

    A key that stands twice in one mapping is an error, and a date stays text.

    Attributes:
        file: Where it was read from.
        data: Mappings, lists and scalars; None for an empty file.
        problems: What is wrong with it although it can be read: a key that stands twice.
    """

    def __init__(self, file: FilePath) -> None:
        """Read the file.

        Raises:
            ConfigurationError: The file cannot be read, or is not YAML.
        """
        self.file = file
        self.problems: list[Problem] = []
        self._overridden: set[Path] = set()
        self._flat: set[int] = set()
        text = _read(file)
        try:
            self._loader = _Loader(text)
            self._root = self._loader.get_single_node()
            self.data = None if self._root is None else self._build(self._root, (), ())
            self._loader.dispose()
        except yaml.MarkedYAMLError as error:
            raise ConfigurationError(_syntax_problem(error, file)) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            message = f"is not valid YAML: character {chr(error.character)!r} is not allowed; remove it"
            raise ConfigurationError(Problem(message, file=file, line=line)) from None
        except RecursionError:
            raise ConfigurationError(Problem("is nested too deeply to be read", file=file)) from None

    def place(self, path: Path) -> dict[str, Any]:
        """Return file, line and column of a path, or of what is there of it, as keywords for `Problem`."""
        if any(path[: len(changed)] == changed for changed in self._overridden):
            return {"file": None, "line": None, "column": None}
        mark = None if self._root is None else self._root.start_mark
        node = self._root
        for part in path:
            step = _step(node, part)
            if step is None:
                break
            mark, node = step
        if mark is None:
            return {"file": self.file, "line": None, "column": None}
        return {"file": self.file, "line": mark.line + 1, "column": mark.column + 1}

    def problem(self, path: Path, message: str, details: str | None = None) -> Problem:
        """Return a problem with the value at a path."""
        overridden = any(path[: len(changed)] == changed for changed in self._overridden)
        suffix = " (as given by --override)" if overridden else ""
        return Problem(f"{message}{suffix}", path=dotted(path) or None, details=details, **self.place(path))

    def override(self, changes: Sequence[tuple[str, str]]) -> list[Problem]:
        """Set values by dotted key, as if they stood in the file; return what cannot be set.

        A value is read as a YAML scalar: a number, true or false, null, otherwise text; nothing is text too. Mappings
        on the way that are not there are made; a number selects an item of a list.
        """
        return [problem for key, value in changes if (problem := self._override(key, value)) is not None]

    def _override(self, key: str, text: str) -> Problem | None:
        parts = key.split(".")
        if not all(parts):
            return Problem(f"--override {key!r}: expected keys joined by dots, as general.telemetry.tracing.NAME.KEY")
        if self.data is None:
            self.data = {}
        target: Any = self.data
        path: Path = ()
        for part in parts[:-1]:
            step = self._enter(target, path, part)
            if isinstance(step, Problem):
                return step
            path, target = step
        return self._set(target, path, parts[-1], _scalar(text))

    def _enter(self, target: Any, path: Path, part: str) -> tuple[Path, Any] | Problem:
        if isinstance(target, dict):
            if target.get(part) is None:
                target[part] = {}
            return (*path, part), target[part]
        index = _index(target, part)
        if index is None:
            return _impossible(target, path, part)
        return (*path, index), target[index]

    def _set(self, target: Any, path: Path, part: str, value: Any) -> Problem | None:
        selector: str | int | None = part if isinstance(target, dict) else _index(target, part)
        if selector is None:
            return _impossible(target, path, part)
        if isinstance(target, dict) and isinstance(target.get(part), (dict, list)):
            return Problem(
                f"--override {dotted((*path, part))}: holds {_kind(target[part])}, which one value cannot replace; "
                f"name a key inside it{_keys_of(target[part])}"
            )
        target[selector] = value
        self._overridden.add((*path, selector))
        return None

    def _build(self, node: yaml.Node, path: Path, inside: tuple[int, ...]) -> Any:
        if id(node) in inside:
            raise yaml.MarkedYAMLError(problem="found a value that contains itself", problem_mark=node.start_mark)
        if node.tag not in (_MAP, _SEQ):
            return self._construct(node)
        inside = (*inside, id(node))
        if isinstance(node, yaml.MappingNode):
            if id(node) not in self._flat:  # a node that aliases repeat is flattened once
                self._flat.add(id(node))
                self._find_doubles(node, path)
                self._loader.flatten_mapping(node)
            return {
                key: self._build(value, (*path, key), inside)
                for key, value in ((self._key(key), value) for key, value in node.value)
            }
        if isinstance(node, yaml.SequenceNode):
            return [self._build(item, (*path, index), inside) for index, item in enumerate(node.value)]
        return self._construct(node)

    def _find_doubles(self, node: yaml.MappingNode, path: Path) -> None:
        seen: dict[str, yaml.Node] = {}
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self._key(key_node)
            if key in seen:
                first = seen[key].start_mark.line + 1
                self.problems.append(
                    Problem(
                        f"stands twice in one mapping, first in line {first}; remove or rename one",
                        path=dotted((*path, key)),
                        file=self.file,
                        line=key_node.start_mark.line + 1,
                        column=key_node.start_mark.column + 1,
                    )
                )
            seen[key] = key_node

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="found a key that is not text", problem_mark=node.start_mark)
        return str(node.value)

    def _construct(self, node: yaml.Node) -> Any:
        try:
            return self._loader.construct_object(node, deep=True)
        except yaml.MarkedYAMLError:
            raise
        except ValueError as error:  # a number that Python cannot make, as 0o9
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from None


def dotted(path: Path) -> str:
    """Return a path as people write it: `plugins[0]`, `general.telemetry.tracing.prod.endpoint`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which keeps marks; dates stay text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _read(file: FilePath) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        folder = file.parent
        others = sorted(found.name for pattern in ("*.yaml", "*.yml") for found in folder.glob(pattern))
        hint = f"; {str(folder)!r} holds {', '.join(others)}" if others else ""
        raise ConfigurationError(Problem(f"no such file{hint}", file=file)) from None
    except IsADirectoryError:
        raise ConfigurationError(Problem("is a directory, expected a workflow file", file=file)) from None
    except OSError as error:
        raise ConfigurationError(Problem(f"cannot be read: {error.strerror}", file=file)) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = f"byte {error.object[error.start]:#04x} is not UTF-8, expected a text file in UTF-8; save it as such"
        raise ConfigurationError(Problem(message, file=file, line=line)) from None


def _syntax_problem(error: yaml.MarkedYAMLError, file: FilePath) -> Problem:
    mark = error.problem_mark or error.context_mark
    said = " ".join(part for part in (error.problem, error.context and f"({error.context})") if part)
    message = f"is not valid YAML: {said}"
    if error.problem is not None and "'\\t'" in error.problem:
        message += "; indent with spaces, not with tabs"
    details = None if mark is None else mark.get_snippet()
    line, column = (None, None) if mark is None else (mark.line + 1, mark.column + 1)
    return Problem(message, file=file, line=line, column=column, details=details)


def _step(node: yaml.Node | None, part: str | int) -> tuple[yaml.Mark, yaml.Node] | None:
    """Return the mark and the value of a key or an index within a node."""
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):
            if isinstance(key, yaml.ScalarNode) and key.value == part:
                return key.start_mark, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark, node.value[part]
    return None


def _scalar(text: str) -> Any:
    if not text:
        return text
    loader = _Loader("")
    try:
        tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]  # PyYAML's stubs
        node = yaml.ScalarNode(tag, text)
        return loader.construct_object(node)
    except (ValueError, yaml.YAMLError):  # looks like a number and is none, or is `=` or `<<`
        return text
    finally:
        loader.dispose()


def _index(target: Any, part: str) -> int | None:
    is_there = isinstance(target, list) and part.isdecimal() and int(part) < len(target)
    return int(part) if is_there else None


def _impossible(target: Any, path: Path, part: str) -> Problem:
    where = dotted(path)
    if isinstance(target, list):
        message = f"{where} is a list of {len(target)}; expected a number below that instead of {part!r}"
    else:
        message = f"{where} is {_kind(target)} and has no keys; give a value to {where} itself, or name another key"
    return Problem(f"--override {dotted((*path, part))}: {message}")


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "empty" if value is None else type(value).__name__)


def _keys_of(value: Any) -> str:
    return f": {', '.join(value)}" if isinstance(value, dict) and value else ""
