"""One session through the guide's code blocks: as cells of a notebook, in order, in one namespace."""

import importlib
import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from nat.observability.registry import default_registry

__all__ = ["BLOCKS", "NOT_CODE", "GuideSession", "block_path", "guide_session"]

BLOCKS = Path(__file__).parent / "blocks"
NOT_CODE = {4: "diagram", 5: "diagram", 25: "text", 29: "text", 33: "text"}
_PACKAGE_FILES = {13: "exporters.py", 14: "register.py"}
_MORE_OF_REGISTER = 19  # goes on where block 14 ends


def block_path(number: int) -> Path:
    """The file of a block."""
    [path] = BLOCKS.glob(f"block_{number:02}_*")
    return path


class GuideSession:
    """Runs blocks; `session["name"]` is what they defined.

    Blocks 13 and 14 are modules of a package of their own (`session.package`), as the guide lays them out, and block 19 goes
    on in the second of them; all others share one module, so that a type registered twice comes from the same one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.module = ModuleType("guide_session")
        self.package = "guide_package"
        self.executed: list[int] = []

    def __getitem__(self, name: str) -> Any:
        return self.module.__dict__[name]

    def run(self, *numbers: int) -> None:
        """Run these blocks, in this order."""
        for number in numbers:
            path = block_path(number)
            if number in _PACKAGE_FILES:
                shutil.copy(path, self.folder / self.package / _PACKAGE_FILES[number])
                importlib.invalidate_caches()
                if number == 14:
                    importlib.import_module(f"{self.package}.register")
            elif path.suffix == ".py":
                module = sys.modules[f"{self.package}.register"] if number == _MORE_OF_REGISTER else self.module
                exec(compile(path.read_text(encoding="utf-8"), path, "exec"), module.__dict__)  # the block
            self.executed.append(number)

    def workflow_file(self, number: int) -> Path:
        """A YAML block as a file of its own."""
        return Path(shutil.copy(block_path(number), self.folder / "workflow.yaml"))


@contextmanager
def guide_session(folder: Path) -> Iterator[GuideSession]:
    """A session that leaves nothing behind: no registered type, module or log level."""
    session = GuideSession(folder)
    (folder / session.package).mkdir()
    (folder / session.package / "__init__.py").touch()
    logger = logging.getLogger("nat.observability")
    level = logger.level
    sys.modules[session.module.__name__] = session.module
    sys.path.insert(0, str(folder))
    try:
        with default_registry.preserved():
            yield session
    finally:
        logger.setLevel(level)
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] in (session.package, session.module.__name__)]:
            del sys.modules[name]
