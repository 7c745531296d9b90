"""The examination of exporters: a test span to each, and what is wrong with those that do not deliver it."""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from nat.cli.interruption import Interruption
from nat.cli.speech import Speech, hear
from nat.data_models.delivery import DeadLettersConfig, DeliveryConfig, RetryConfig, SpoolConfig
from nat.data_models.intermediate_step import ROOT_PARENT_ID, IntermediateStepType
from nat.data_models.masking import MASK
from nat.data_models.span_names import SpanAttributes
from nat.observability.delivery.causes import Cause
from nat.observability.delivery.errors import ExportFailure
from nat.observability.events import CapturedStep, Run, new_trace_id, span_id_of
from nat.observability.manager import Checkup, TelemetryManager
from nat.observability.registry import ExporterEntry
from nat.observability.snapshot import snapshot
from nat.utils.ids import random_hex

__all__ = ["TEST_SPAN", "Examination", "Finding"]

TEST_SPAN = "nat doctor"
_START_S = 10.0  # for importing what exporters need, and their own start
_CLOSE_S = 2.0
_NOT_SURE = frozenset({Cause.CLOSED, Cause.NO_HTTP, Cause.TLS, Cause.REFUSED_REQUEST, Cause.UNKNOWN})
_ON_PURPOSE = frozenset({"filtered", "sampled_out"})
_URL_SECRETS = re.compile(r"(?<=://)[^/@\s]*(?=@)|(?<=\?)[^\s'\")<>]+")  # user and password, and the query


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one exporter's test span.

    Attributes:
        name, type: The exporter's entry and `_type`.
        address, protocol: Where it sends to and what it speaks, if it says so.
        latency_s: Seconds that sending took; `None` if it did not come to that.
        page: Where the backend shows the test span, if it was delivered and the exporter knows.
        cause: Why it was not delivered; `None`: it was.
        said: What the exporter says of that.
        mend: What helps.
    """

    name: str
    type: str
    address: str | None
    protocol: str | None
    latency_s: float | None
    page: str | None = None
    cause: Cause | None = None
    said: str = ""
    mend: str = ""


class Examination:
    """Sends one test span through every exporter as it is configured, but once only, and keeps nothing; for one `nat doctor`.

    Args:
        entries: The exporters; that one is required does not count.
        timeout_s: Seconds that one attempt may take.

    Attributes:
        trace_id, session_id: Of the test span.
    """

    def __init__(self, entries: Sequence[ExporterEntry], *, timeout_s: float) -> None:
        once = DeliveryConfig(
            timeout=timeout_s,
            retry=RetryConfig(max_retries=0),
            spool=SpoolConfig(enabled=False),
            dead_letters=DeadLettersConfig(enabled=False),
        )
        self._manager = TelemetryManager([_delivered_as(entry, once) for entry in entries])
        self._timeout_s = timeout_s
        self._interruption = Interruption()
        self.trace_id = new_trace_id()
        self._root_id = random_hex()
        self.session_id = f"nat-doctor-{random_hex()[:8]}"

    @property
    def exit_code(self) -> int | None:
        """128 + the signal that ended it; `None` without one."""
        return self._interruption.exit_code if self._interruption.has_happened else None

    def run(self) -> list[Finding]:
        """Send, wait for the answers, and say what they mean."""
        with self._interruption.listened_to():
            self._manager.start()
            try:
                self._give_span()
                self._interruption.run(self._answered())
            finally:
                self._manager.close(_CLOSE_S)
        pages = self._manager.trace_urls(self.trace_id, span_id_of(self._root_id))
        return [_finding(checkup, pages.get(checkup.status.name)) for checkup in self._manager.checkups()]

    def _give_span(self) -> None:
        root_id = self._root_id
        run = Run(
            trace_id=self.trace_id,
            name=TEST_SPAN,
            owner=self._manager,
            root_id=root_id,
            session_id=self.session_id,
            tags=(TEST_SPAN,),
        )
        capture = self._manager.begin_capture(run)
        for event_type in (IntermediateStepType.WORKFLOW_START, IntermediateStepType.WORKFLOW_END):
            attributes = snapshot({SpanAttributes.NAT_DOCTOR.value: True})
            capture.on_step(
                CapturedStep(event_type, root_id, ROOT_PARENT_ID, TEST_SPAN, time.time_ns(), run, attributes=attributes)
            )
        run.has_ended = True
        self._manager.end_capture(capture)
        self._manager.record_end(run)

    async def _answered(self) -> None:
        flushes = [asyncio.wrap_future(future) for future in self._manager.flushes()]
        await asyncio.wait(flushes, timeout=_START_S + self._timeout_s)


def _delivered_as(entry: ExporterEntry, delivery: DeliveryConfig) -> ExporterEntry:
    """The entry with these settings; every route of an exporter gets the test span."""
    delivery = delivery if entry.delivery is None else delivery.over(entry.delivery)
    return replace(entry, required=False, delivery=delivery, route=None)


def _finding(checkup: Checkup, page: str | None) -> Finding:
    status = checkup.status
    finding = Finding(status.name, status.type, checkup.address, checkup.protocol, checkup.send_s)
    failure = checkup.failure
    if failure is not None:
        cause = _surer(failure.cause, checkup)
        mend = failure.mend if cause is failure.cause else ""
        return replace(finding, cause=cause, said=_said(failure), mend=mend or cause.mend)
    if status.delivered and not status.lost and not status.pending:
        return replace(finding, page=page)
    lost = {reason for reason, count in status.dropped.items() if count}
    if status.pending or "shutdown" in lost:
        return replace(finding, cause=Cause.TIMEOUT, mend=Cause.TIMEOUT.mend)
    cause = Cause.FILTERED if lost <= _ON_PURPOSE else Cause.UNKNOWN
    return replace(finding, cause=cause, said=", ".join(sorted(lost)), mend=cause.mend)


def _said(failure: ExportFailure) -> str:
    if failure.quoted:
        return f"{failure.error}: {_URL_SECRETS.sub(MASK, failure.quoted)}"
    return failure.detail.removesuffix(f"; {failure.mend}") or failure.error


def _surer(cause: Cause, checkup: Checkup) -> Cause:
    """What a closed connection or a strange answer means, seen by what the port speaks."""
    parts = urlsplit(checkup.address or "")
    if cause not in _NOT_SURE or parts.scheme not in ("http", "https") or parts.hostname is None:
        return cause
    is_secure = parts.scheme == "https"
    speech = hear(parts.hostname, parts.port or (443 if is_secure else 80))
    return cause if speech is None else _misfit(speech, is_secure, checkup.protocol == "grpc") or cause


def _misfit(speech: Speech, is_secure: bool, is_grpc: bool) -> Cause | None:
    is_heard = speech.is_http or speech.is_http2
    if speech.is_tls and not is_secure:
        return Cause.TLS_EXPECTED
    if is_secure and not speech.is_tls:
        return Cause.NO_TLS if is_heard else None
    if speech.is_tls and not is_heard:
        return Cause.CLIENT_CERTIFICATE
    if not is_grpc and not speech.is_http and speech.is_http2:
        return Cause.SPEAKS_GRPC
    return Cause.SPEAKS_HTTP if is_grpc and speech.is_http and not speech.is_http2 else None
