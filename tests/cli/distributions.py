"""Installed distributions, as far as `importlib.metadata` can tell."""

from pathlib import Path

import pytest


def install(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, *, code: str, group: str, entry_point: str
) -> None:
    """Put a distribution on `sys.path` with one module, named after it, and one entry point."""
    module = name.replace("-", "_")
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{entry_point} = {module}:{entry_point.replace('-', '_')}\n")
    (folder / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(__import__("sys").modules, module, raising=False)
