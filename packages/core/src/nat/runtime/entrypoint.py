"""Entrypoint: import the user's own code, named as `package.module:function` or `./file.py:function`."""

import importlib
import importlib.util
import sys
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from nat.data_models.suggestion import closest

__all__ = ["CannotImportError", "find_callable", "import_code", "is_file_name", "put_on_path", "split_entrypoint"]

_MACHINERY = ("<frozen importlib", str(Path(importlib.__file__).parent), __file__)


class CannotImportError(Exception):
    """Code of the user that cannot be imported.

    Attributes:
        details: The user's own part of the traceback, if their code was reached.
    """

    def __init__(self, message: str, details: str | None = None) -> None:
        super().__init__(message)
        self.details = details


def split_entrypoint(entrypoint: str) -> tuple[str, str]:
    """Return module or file, and the name in it.

    Raises:
        ValueError: There is no name, or no module.
    """
    code, _, name = entrypoint.rpartition(":")
    if not code or not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"{entrypoint!r} names no function, expected package.module:function or ./file.py:function")
    return code, name


def is_file_name(code: str) -> bool:
    """Return whether the text names a file rather than a module."""
    return code.endswith(".py") or "/" in code or "\\" in code


def put_on_path(folder: Path) -> None:
    """Make the modules of a folder importable, before all others."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def import_code(code: str, folder: Path) -> ModuleType:
    """Import a module by name, or a file by its path relative to a folder.

    A file becomes the module that its name stem says (within its packages, if its folder holds an `__init__.py`), so
    that what it defines can be pickled and it is imported only once; its folder is put on `sys.path`. A file that runs
    as the main program is not imported again.

    Raises:
        CannotImportError: There is no such module or file, or importing it raises.
    """
    importlib.invalidate_caches()
    if is_file_name(code):
        return _import_file((folder / code).resolve(), code)
    return _import_module(code, folder)


def find_callable(module: ModuleType, name: str) -> Callable[..., Any]:
    """Return what a module calls by this name, which may have dots.

    Raises:
        CannotImportError: The module has no such name, or what it names cannot be called.
    """
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            meant = closest(name, own)
            hint = f"; did you mean {meant!r}?" if meant else f"; it has {', '.join(own)}" if own else ""
            raise CannotImportError(f"{_shown(module)} has no {name!r}{hint}") from None
    if not callable(found):
        raise CannotImportError(f"{name!r} of {_shown(module)} is {type(found).__name__}, expected a function")
    return found  # type: ignore[no-any-return]  # callable() does not narrow Any


def _import_module(name: str, folder: Path) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise CannotImportError(f"{name!r} is neither a module nor a file, expected package.module or ./file.py")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise CannotImportError(_no_module(error.name, name, folder)) from None
        raise _failed(name, error) from None
    except (Exception, SystemExit) as error:  # the edge of someone else's code
        raise _failed(name, error) from None


def _import_file(file: Path, code: str) -> ModuleType:
    if not file.is_file():
        others = sorted(found.stem for found in file.parent.glob("*.py"))
        meant = closest(file.stem, others)
        hint = f"did you mean '{meant}.py'?" if meant else "expected a path relative to the workflow file's folder"
        raise CannotImportError(f"there is no file {str(file)!r}; {hint}")
    main = sys.modules.get("__main__")
    if main is not None and _is_from(main, file):
        return main
    root, name = _home(file)
    put_on_path(root)
    try:
        known = sys.modules.get(name)
        if known is None:
            known = importlib.import_module(name)
        return known if _is_from(known, file) else _import_aside(file)
    except (Exception, SystemExit) as error:  # the edge of someone else's code
        raise _failed(code, error) from None


def _import_aside(file: Path) -> ModuleType:
    """Import a file whose module name belongs to another module already."""
    name = f"{file.stem}_{zlib.crc32(str(file).encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{str(file)!r} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _home(file: Path) -> tuple[Path, str]:
    """Return the folder to put on `sys.path` and the module name of a file."""
    folder, name = file.parent, file.stem.replace(".", "_")
    while (folder / "__init__.py").is_file():
        name = folder.name if name == "__init__" else f"{folder.name}.{name}"
        folder = folder.parent
    return folder, name


def _is_from(module: ModuleType, file: Path) -> bool:
    source = getattr(module, "__file__", None)
    return source is not None and Path(source).resolve() == file


def _no_module(missing: str, name: str, folder: Path) -> str:
    within = f" (needed for {name!r})" if missing != name else ""
    names = [found.stem for found in folder.glob("*.py")] + [
        found.parent.name for found in folder.glob("*/__init__.py")
    ]
    meant = closest(missing, names)
    hint = f"did you mean {meant!r}?" if meant else "install it, or name a file as ./file.py"
    return f"there is no module {missing!r}{within}, neither in {str(folder)!r} nor installed; {hint}"


def _failed(code: str, error: BaseException) -> CannotImportError:
    said = str(error).strip()
    reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
    remedy = "correct it"
    if isinstance(error, ImportError) and "no known parent package" in said:
        remedy = "write `import helper` instead of `from . import helper`, or make its folder a package (__init__.py)"
    elif isinstance(error, ModuleNotFoundError):
        remedy = f"install {error.name!r} in this environment, or correct the import"
    return CannotImportError(f"{code} cannot be imported: {reason}; {remedy}", _users_traceback(error))


def _users_traceback(error: BaseException) -> str:
    """Return the traceback without the frames of the import machinery and of this module."""
    shown = traceback.TracebackException.from_exception(error)
    link: traceback.TracebackException | None = shown
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.stack = traceback.StackSummary.from_list(
            [frame for frame in link.stack if not frame.filename.startswith(_MACHINERY)]
        )
        link = link.__cause__ or link.__context__
    return "".join(shown.format()).rstrip()


def _shown(module: ModuleType) -> str:
    return f"module {module.__name__!r}"
