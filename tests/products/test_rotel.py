"""Rotel, a real collector: what we send over OTLP's three forms arrives as it was, to the nanosecond."""

from pathlib import Path
from typing import Literal

import pytest

from nat.plugins.opentelemetry.register import OtelCollectorConfig
from nat.testing import recorded_runs
from tests.products.rotel import Rotel, as_printed
from tests.products.sending import send
from tests.products.shown import assert_arrived
from tests.support.chats import recorded_chats

Protocol = Literal["http/protobuf", "http/json", "grpc"]

pytestmark = pytest.mark.parametrize("protocol", ["http/protobuf", "http/json", "grpc"])


def config(rotel: Rotel, protocol: Protocol) -> OtelCollectorConfig:
    return OtelCollectorConfig(endpoint=rotel.grpc_url if protocol == "grpc" else rotel.url, protocol=protocol)


def test_recorded_chats_arrive_as_they_were(rotel: Rotel, protocol: Protocol, tmp_path: Path) -> None:
    """All 893 spans of 40 chats, each once: ids, parents, times, status, and every attribute with its type."""
    sent = send(recorded_chats(), config(rotel, protocol), tmp_path)

    assert len(sent) == 893
    assert_arrived(sent, rotel.finish(), as_printed)


@pytest.mark.contract("S189")
def test_own_runs_arrive_as_they_were(rotel: Rotel, protocol: Protocol, tmp_path: Path) -> None:
    """So do the ten runs with tokens, documents, failures, and values that break naive exporters."""
    sent = send(recorded_runs(), config(rotel, protocol), tmp_path)

    assert_arrived(sent, rotel.finish(), as_printed)
