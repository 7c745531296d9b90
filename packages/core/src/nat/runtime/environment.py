"""Environment: whether this Python environment can hold nat-telemetry at all."""

from importlib.metadata import PackageNotFoundError, distribution

from nat.data_models.errors import Problem

__all__ = ["check_environment"]

_OTHER_OWNERS = ("nvidia-nat", "nvidia-nat-core", "aiqtoolkit")


def check_environment() -> Problem | None:
    """Return what is wrong if a distribution is installed that owns the import package `nat` as well; cheap."""
    for name in _OTHER_OWNERS:
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        return Problem(
            f"{name} {found.version} is installed in this environment. It owns the import package 'nat', as "
            "nat-telemetry does, so the files of both mix and neither works reliably; part them: use a virtual "
            f"environment of its own for each, or run `pip uninstall {name}` and then "
            "`pip install --force-reinstall --no-deps nat-telemetry-core nat-telemetry-file`"
        )
    return None
