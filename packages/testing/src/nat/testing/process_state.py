"""Process state: what belongs to the program, and no exporter may change."""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

__all__ = ["changes_of", "process_state"]


def process_state() -> dict[str, Any]:
    """What there is now, by a name for messages."""
    root = logging.getLogger()
    state: dict[str, Any] = {
        "the environment": dict(os.environ),
        "the working directory": Path.cwd(),
        "the root logger's level": root.level,
        "the root logger's handlers": list(root.handlers),
        "the disabled log level": logging.root.manager.disable,
        "the logger class": logging.getLoggerClass(),
        "warning filters": list(warnings.filters),
        "sys.path": list(sys.path),
        "sys.excepthook": sys.excepthook,
        "threading.excepthook": threading.excepthook,
        "sys.stdout": sys.stdout,
        "sys.stderr": sys.stderr,
        "the event loop policy": _event_loop_policy(),
        "the default socket timeout": socket.getdefaulttimeout(),
    }
    for number in signal.valid_signals():
        state[f"the handler of signal {signal.Signals(number).name if number in set(signal.Signals) else number}"] = (
            signal.getsignal(number)
        )
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None:
        state["OpenTelemetry's tracer provider"] = trace.get_tracer_provider()
    propagate = sys.modules.get("opentelemetry.propagate")
    if propagate is not None:
        state["OpenTelemetry's propagator"] = propagate.get_global_textmap()
    return state


def _event_loop_policy() -> type:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there is none from Python 3.16 on
        return type(asyncio.get_event_loop_policy())


def changes_of(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of what is not as it was."""
    return [name for name in before if before[name] != after.get(name)]
