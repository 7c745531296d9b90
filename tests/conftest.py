"""Tier one collects everything here but the folders of the other tiers, which run when they are named."""

from pathlib import Path

import pytest

_OTHER_TIERS = tuple(Path(__file__).parent / name for name in ("products", "endurance"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path not in _OTHER_TIERS:
        return None
    named = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(collection_path) for path in named) else True
