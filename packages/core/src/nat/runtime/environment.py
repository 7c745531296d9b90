"""Environment: whether this Python environment can hold nat-telemetry at all."""

from nat.data_models.errors import Problem
from nat.utils.installed import find, name_and_version

__all__ = ["check_environment"]

_OTHER_OWNERS = ("nvidia-nat", "nvidia-nat-core", "aiqtoolkit")


def check_environment() -> Problem | None:
    """Return what is wrong if a distribution is installed that owns the import package `nat` as well; cheap."""
    other = find(*_OTHER_OWNERS)
    if other is None:
        return None
    name, version = name_and_version(other)
    return Problem(
        f"{name} {version} is installed in this environment. It owns the import package 'nat', as nat-telemetry does, so the "
        "files of both mix and neither works reliably; part them: use a virtual environment of its own for each, or run "
        f"`pip uninstall {name}` and then `pip install --force-reinstall --no-deps nat-telemetry-core nat-telemetry-file`"
    )
