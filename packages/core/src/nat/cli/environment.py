"""The environment a command runs in."""

from nat.data_models.errors import ConfigurationError
from nat.runtime.environment import check_environment

__all__ = ["require_own_environment"]


def require_own_environment() -> None:
    """Raise `ConfigurationError` if another distribution owns the import package `nat` here as well."""
    problem = check_environment()
    if problem is not None:
        raise ConfigurationError(problem)
