"""The layer contract of pyproject.toml knows every part of core."""

import tomllib

from tools.build_wheels import ROOT

_CORE = ROOT / "packages/core/src/nat"
_FACADES = {"nat.observability"}  # lazy re-exports: its modules have layers, it has none


def test_every_part_of_core_has_its_layer() -> None:
    """A new module cannot be left out: without a layer it could import, and be imported by, anything."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (one for one in settings["contracts"] if one["id"] == "layers")
    layered = {module.strip() for layer in contract["layers"] for module in layer.split(":")}

    folders = (_CORE, _CORE / "observability")
    parts = {part for folder in folders for part in folder.iterdir() if part.suffix == ".py" or part.is_dir()}
    modules = {".".join(("nat", *part.relative_to(_CORE).with_suffix("").parts)) for part in parts}

    private = {module for module in modules if "__" in module}
    assert modules - private - _FACADES == layered
