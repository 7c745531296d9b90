"""The place of a project: W&B's addresses and keys, found where Weave's own client finds them.

Source: weave 0.52.36 and 0.54.0, `weave/trace/env.py`, `urls.py` and what they call; read 2026-11-26. Light, only
Python's own modules are imported here.
"""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

__all__ = ["CLOUD", "OTLP_PATH", "call_page", "key_in_netrc", "server_of", "server_of_base_url"]

CLOUD = "https://trace.wandb.ai"
OTLP_PATH = "/otel/v1/traces"

_API = "https://api.wandb.ai"


def server_of_base_url() -> str | None:
    """The trace server that belongs to the W&B in WANDB_PUBLIC_BASE_URL or WANDB_BASE_URL; `None`: it is the cloud's."""
    base = _variable("WANDB_PUBLIC_BASE_URL") or _variable("WANDB_BASE_URL")
    return None if base in ("", _API) else f"{base}/traces"


def server_of(endpoint: str) -> str:
    """The address of a trace server, without the path for OTLP."""
    found = endpoint.strip().rstrip("/")
    for path in (OTLP_PATH, "/otel/v1", "/otel"):
        found = found.removesuffix(path)
    return found


def key_in_netrc(endpoint: str) -> str | None:
    """The key that `wandb login` has left, for W&B's API or the host of the endpoint.

    Raises:
        ValueError: The file cannot be read; the message shows nothing of it.
    """
    import netrc  # most keys are not there

    machines = (urlsplit(_variable("WANDB_BASE_URL") or _API).netloc, urlsplit(endpoint).netloc.rpartition("@")[2])
    named = _variable("NETRC")
    files = [Path(named)] if named else [Path("~/.netrc"), Path("~/_netrc")]
    for file in (file.expanduser() for file in files):
        if not file.is_file():
            continue
        try:
            found = netrc.netrc(file)
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError) as error:
            raise ValueError(f"{file} cannot be read ({type(error).__name__})") from None
        for machine in machines:
            login = found.hosts.get(machine)
            if login is not None and login[2]:
                return login[2]
    return None


def call_page(endpoint: str, entity: str, project: str) -> Callable[[int, int], str]:
    """Gives the page of a run: of the call that is its root."""
    root = f"{_pages_of(endpoint)}/{quote(entity)}/{quote(project)}"
    return lambda _, root_span_id: f"{root}/r/call/{root_span_id:016x}"


def _pages_of(endpoint: str) -> str:
    """Where people open W&B."""
    pages = _variable("WANDB_APP_URL")
    if pages:
        return pages
    parts = urlsplit(endpoint)
    host = parts.netloc.rpartition("@")[2]
    return "https://wandb.ai" if host == urlsplit(CLOUD).netloc else f"{parts.scheme}://{host}"


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip().rstrip("/")
