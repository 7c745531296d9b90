"""The sink: takes OTLP over HTTP from everybody, answers at once, and looks into what it has taken only when it is asked.

    python sink.py PORT

`GET /taken` says how many requests, bytes and distinct spans there were for each path, `POST /forget` begins anew.
"""

import asyncio
import gzip
import json
import sys
from collections import defaultdict
from collections.abc import Iterator

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"

_taken: defaultdict[str, list[tuple[bytes, bool]]] = defaultdict(list)


class Connection(asyncio.Protocol):
    """One connection with requests one after the other; bodies have a length or come in chunks."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._wanted = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        while self._size >= self._wanted:
            received = b"".join(self._parts)
            self._parts, self._wanted = [received], 0
            used = self._take(received)
            if not used:
                return
            rest = received[used:]
            self._parts, self._size, self._wanted = [rest], len(rest), 0
            if not rest:
                return

    def _take(self, received: bytes) -> int:
        """Take one whole request; returns how many bytes it had, 0 if it is not whole yet."""
        end = received.find(b"\r\n\r\n")
        if end < 0:
            self._wanted = len(received) + 1
            return 0
        request, *lines = received[:end].decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        begin = end + 4
        if headers.get("transfer-encoding", "").lower() == "chunked":
            found = _unchunked(received, begin)
            if found is None:
                self._wanted = len(received) + 1
                return 0
            body, used = found
        else:
            used = begin + int(headers.get("content-length", 0))
            if len(received) < used:
                self._wanted = used
                return 0
            body = received[begin:used]
        method, path = request.split()[:2]
        self._answer(method, path, body, is_gzip=headers.get("content-encoding") == "gzip")
        return used

    def _answer(self, method: str, path: str, body: bytes, *, is_gzip: bool) -> None:
        if path == "/taken":
            text = json.dumps({path: _summary(bodies) for path, bodies in _taken.items()}).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
            return
        if path == "/forget":
            _taken.clear()
        elif method == "POST":
            _taken[path].append((body, is_gzip))
        self._transport.write(_ANSWER)


def _unchunked(received: bytes, at: int) -> tuple[bytes, int] | None:
    parts: list[bytes] = []
    while True:
        end = received.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(received[at:end].split(b";")[0], 16)
        at = end + 2 + size + 2
        if len(received) < at:
            return None
        if size == 0:
            return b"".join(parts), at
        parts.append(received[at - size - 2 : at - 2])


def _summary(bodies: list[tuple[bytes, bool]]) -> dict[str, int]:
    spans: set[bytes] = set()
    size = sent = 0
    for body, is_gzip in bodies:
        plain = gzip.decompress(body) if is_gzip else body
        size += len(plain)
        for span in _spans_of(plain):
            sent += 1
            spans.add(_ids(span))
    return {"requests": len(bodies), "bytes": size, "sent": sent, "spans": len(spans)}


def _spans_of(request: bytes) -> Iterator[bytes]:
    """`Span` messages of an `ExportTraceServiceRequest`: resource_spans (1), scope_spans (2), spans (2)."""
    for number, resource_spans in _fields(request):
        if number == 1:
            for inner, scope_spans in _fields(resource_spans):
                if inner == 2:
                    yield from (span for innermost, span in _fields(scope_spans) if innermost == 2)


def _ids(span: bytes) -> bytes:
    """Trace id (1) and span id (2) of a span, which every writer puts first."""
    found = b""
    for number, value in _fields(span):
        if number in (1, 2):
            found += value
        if number == 2:
            break
    return found


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(message, at)
            continue
        if kind == 2:
            size, at = _varint(message, at)
        else:
            size = 8 if kind == 1 else 4
        if kind == 2:
            yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
