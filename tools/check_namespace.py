"""Namespace check: `nat` and `nat.plugins` belong to no distribution, and everything below them is typed.

An `__init__.py` in either folder would hide what other distributions install there (PEP 420). Every package directly
below them carries `py.typed` (PEP 561 lets no marker stand in a namespace package). Checks the tree, or built wheels:

    uv run tools/check_namespace.py
    uv run tools/check_namespace.py --wheels dist
"""

import argparse
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
NAMESPACES = (PurePosixPath("nat"), PurePosixPath("nat/plugins"))


def problems_in_tree(root: Path = ROOT) -> list[str]:
    """What is wrong in the source folders of all packages, one line each."""
    sources = sorted(root.glob("packages/*/src"))
    return [
        f"{source.relative_to(root)}/{problem}"
        for source in sources
        for problem in _problems(
            PurePosixPath(path.relative_to(source).as_posix()) for path in source.rglob("*") if path.is_file()
        )
    ]


def problems_in_wheels(folder: Path) -> list[str]:
    """What is wrong in the wheels of a folder, one line each; that there are none is also wrong."""
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        return [f"{folder}: holds no wheel"]
    return [f"{wheel.name}: {problem}" for wheel in wheels for problem in _problems(_names(wheel))]


def _names(wheel: Path) -> list[PurePosixPath]:
    with zipfile.ZipFile(wheel) as archive:
        return [PurePosixPath(name) for name in archive.namelist()]


def _problems(files: Iterable[PurePosixPath]) -> Iterator[str]:
    """Problems of one distribution, from the paths of its files relative to where they are imported from."""
    present = {file for file in files if "__pycache__" not in file.parts}
    for namespace in NAMESPACES:
        if (stray := namespace / "__init__.py") in present:
            yield f"{stray}: hides what other distributions install in {namespace}; remove it"
        for module in sorted(file for file in present if file.parent == namespace and file.suffix == ".py"):
            if module.name != "__init__.py":
                yield f"{module}: a module in the namespace has no place for py.typed; make it a package"
    for package in sorted(_packages(present)):
        if package / "__init__.py" not in present:
            yield f"{package}: has no __init__.py, so others could write into it; add one"
        if package / "py.typed" not in present:
            yield f"{package}: has no py.typed, so type checkers ignore its annotations; add one"


def _packages(files: set[PurePosixPath]) -> set[PurePosixPath]:
    """The folders directly below a namespace, other than a namespace itself."""
    ancestors = {parent for file in files for parent in file.parents}
    return {folder for folder in ancestors if folder.parent in NAMESPACES and folder not in NAMESPACES}


def main() -> int:
    parser = argparse.ArgumentParser(description="Check that nat and nat.plugins stay open to other distributions.")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="check the wheels in this folder, not the tree")
    arguments = parser.parse_args()
    problems = problems_in_wheels(arguments.wheels) if arguments.wheels else problems_in_tree()
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
