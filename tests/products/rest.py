"""REST: what a product's own API answers, as JSON. No proxy is asked: everything is on loopback."""

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

__all__ = ["call"]

_TIMEOUT_S = 30.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(
    url: str,
    body: Any = None,
    *,
    query: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    is_text: bool = False,
) -> Any:
    """GET, or POST of a JSON body; the answer as JSON, or, if it `is_text` or no JSON, as text.

    Raises:
        urllib.error.HTTPError: The answer is an error.
        OSError: There is none.
    """
    request = urllib.request.Request(f"{url}?{urllib.parse.urlencode(query)}" if query else url)
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    with _OPENER.open(request, timeout=_TIMEOUT_S) as answer:
        content = answer.read().decode()
    if is_text:
        return content
    try:
        return json.loads(content)
    except ValueError:
        return content
