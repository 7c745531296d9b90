"""`WeaveNativeExporter`: spans as calls, through the client that Weave itself uses.

Of that client the part is used that talks to the trace server: it says whether the server has taken a call, which
`weave.init` does not. So no global client is set, and nothing of the program is patched. Sources: weave 0.52.36 and 0.54.0,
`trace_server_bindings/remote_http_trace_server.py`; read 2026-11-26.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from nat.builder.context import ContextState
from nat.data_models.span import Span
from nat.observability.delivery.options import DeliveryOptions
from nat.observability.exporter.span_exporter import SpanExporter
from nat.observability.snapshot import plain
from nat.plugins.opentelemetry.credentials import resolved
from nat.plugins.opentelemetry.instrumentation import uninstrumented
from nat.plugins.weave.calls import attributes_of, call_of
from nat.plugins.weave.place import server_of

if TYPE_CHECKING:
    from nat.plugins.weave.register import WeaveConfig

__all__ = ["WeaveNativeExporter", "native_call"]


class WeaveNativeExporter(SpanExporter[Span, Span]):
    """Sends lists of calls through Weave's client, which blocks: on a thread of its own, one list at a time.

    A request cannot be called back: one that takes longer than it may goes on until the client gives up, while the next one is
    sent through another client.

    A call has the ids of its span, so one that is sent again replaces itself.

    Args:
        config: Where to, as whom, and how spans are grouped; its `mode` is not looked at.
        page: Gives the page of a run.
        context_state: Where to take events from when user code starts it; `None` means the current one.
    """

    _concurrency = 1

    def __init__(
        self,
        config: "WeaveConfig",
        page: Callable[[int, int], str],
        context_state: ContextState | None = None,
    ) -> None:
        super().__init__(context_state, batch_size=config.batch_size, timeout=config.timeout, retries=config.retries)
        self._config = config
        self._page = page
        self._sending = _Sending(partial(_Client, config))

    @property
    def delivery_options(self) -> DeliveryOptions:
        """How it wants to be delivered to."""
        config = self._config
        return replace(
            super().delivery_options,
            takes_lists=True,
            flush_interval_s=config.flush_interval,
            max_queue_size=config.max_queue_size,
            drop_on_overflow=config.drop_on_overflow,
            shutdown_timeout_s=config.shutdown_timeout,
        )

    def trace_url(self, trace_id: int, root_span_id: int) -> str | None:
        """The page of a run's root call."""
        return self._page(trace_id, root_span_id)

    async def export_processed(self, item: Span | list[Span]) -> None:
        """Send these spans as calls."""
        spans = item if isinstance(item, list) else [item]
        await self._sending.send(spans)

    async def _cleanup(self) -> None:
        self._sending.end()
        await super()._cleanup()


class _Sending:
    """The thread that sends for an exporter and all of its copies, and the next one after it has been given up."""

    def __init__(self, make_client: "Callable[[], _Client]") -> None:
        self._make_client = make_client
        self._thread: _SendingThread | None = None

    async def send(self, spans: Sequence[Span]) -> None:
        """Return when they were taken; if this is cancelled, the thread ends when its client gives up."""
        if self._thread is None:
            self._thread = _SendingThread(self._make_client())
        thread = self._thread
        try:
            await thread.send(spans)
        except asyncio.CancelledError:
            if self._thread is thread:
                self._thread = None
            thread.end()
            raise

    def end(self) -> None:
        """Take no more spans."""
        if self._thread is not None:
            self._thread.end()


class _SendingThread:
    """Sends one list at a time through a client of its own, which blocks. It does not keep a program from ending."""

    def __init__(self, client: "_Client") -> None:
        self._client = client
        self._lists: SimpleQueue[tuple[Sequence[Span], asyncio.Future[None]] | None] = SimpleQueue()
        Thread(target=self._run, name="nat weave", daemon=True).start()

    async def send(self, spans: Sequence[Span]) -> None:
        """Return, or raise, what the client does; if this is cancelled, a request that has begun goes on."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lists.put((spans, done))
        await done

    def end(self) -> None:
        """Take no more lists, and close the client after the last one."""
        self._lists.put(None)

    def _run(self) -> None:
        while (given := self._lists.get()) is not None:
            spans, done = given
            failure: BaseException | None = None
            try:
                self._client.prepare()  # which takes a second or two at first: nobody may wait any more
                if not done.cancelled():
                    self._client.send(spans)
            except BaseException as error:
                failure = error
            with suppress(RuntimeError):  # its loop is closed: nobody waits any more
                done.get_loop().call_soon_threadsafe(_settle, done, failure)
        self._client.close()


def _settle(done: "asyncio.Future[None]", failure: BaseException | None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)


class _Client:
    """Weave's client for the trace server; belongs to one thread, and is imported there."""

    def __init__(self, config: "WeaveConfig") -> None:
        self._url = server_of(config.endpoint)
        self._api_key = config.api_key
        self._project_id = "/".join(config.place)
        self._timeout_s = config.timeout
        self._key_in_use = ""
        self._server: Any = None

    def prepare(self) -> None:
        """Make it, with the key as it is now.

        Raises:
            UnreadableCredentialError: The key cannot be read.
        """
        key = resolved(self._api_key)
        with _once_only(self._timeout_s):
            if self._server is None:
                bindings: Any = import_module("weave.trace_server_bindings.remote_http_trace_server")
                self._server = bindings.RemoteHTTPTraceServer(self._url, should_batch=False)
            if key != self._key_in_use:
                self._server.set_auth(("api", key))
                self._key_in_use = key

    def send(self, spans: Sequence[Span]) -> None:
        """Send these spans; blocks until the server has taken them."""
        calls = [native_call(span, self._project_id) for span in spans]
        with uninstrumented(), _once_only(self._timeout_s):
            self._server.calls_complete(_request(calls))

    def close(self) -> None:
        """Close its connections; up to 0.52 they are those of the process, and stay."""
        close = getattr(getattr(self._server, "_stainless_client", None), "close", None)
        if close is not None:
            close()


def native_call(span: Span, project_id: str) -> dict[str, Any]:
    """A span as a completed call: its start and its end at once, so that no end can come before its start."""
    call, context = call_of(span), span.context
    span_id = f"{context.span_id:016x}"
    usage = {call.model or "usage": {**call.usage, "requests": 1}} if call.usage else {}
    return {
        "project_id": project_id,
        "id": span_id,
        "trace_id": f"{context.trace_id:032x}",
        "parent_id": None if context.parent_span_id is None else f"{context.parent_span_id:016x}",
        "op_name": span.name,
        "display_name": span.name,
        "thread_id": call.thread_id,
        "turn_id": span_id if call.is_turn and call.thread_id else None,
        "started_at": _time(span.start_time),
        "ended_at": _time(span.start_time if span.end_time is None else span.end_time),
        "attributes": plain(attributes_of(call)),
        "inputs": plain(call.inputs),
        "output": plain(call.output),
        "summary": {"usage": usage} if usage else {},
        "exception": call.exception,
    }


def _request(calls: Sequence[dict[str, Any]]) -> Any:
    """Completed calls as the client takes them: as a model where it has one, up to 0.52, else as they are."""
    request = {"batch": calls}
    try:
        interface: Any = import_module("weave.trace_server.trace_server_interface")
    except ModuleNotFoundError:
        return request
    return interface.CallsUpsertCompleteReq.model_validate(request)


def _once_only(timeout_s: float) -> AbstractContextManager[Any]:
    """Settings of Weave's client on this thread: what fails is tried again by delivery, which counts it, not by the client."""
    settings: Any = import_module("weave.trace.settings")
    if hasattr(settings, "override_settings"):
        override: AbstractContextManager[Any] = settings.override_settings(retry_max_attempts=1, http_timeout=timeout_s)
        return override
    settings.parse_and_apply_settings(settings.UserSettings(retry_max_attempts=1, http_timeout=timeout_s))
    return nullcontext()


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat()
