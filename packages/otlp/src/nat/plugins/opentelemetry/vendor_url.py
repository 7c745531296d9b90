"""Vendor URLs: from what users write as a vendor's endpoint to the URL where it takes spans."""

from urllib.parse import urlsplit, urlunsplit

__all__ = ["vendor_url"]


def vendor_url(given: str, path: str) -> str:
    """The URL with as much of `path` appended as it lacks; one that ends in `/traces` is complete.

    With the path `/otel/v1/traces`, `https://host`, `https://host/otel/` and `https://host/otel/v1` all become
    `https://host/otel/v1/traces`, and a prefix stays: `https://host/api` becomes `https://host/api/otel/v1/traces`.
    """
    parts = urlsplit(given.strip())
    has, wants = parts.path.rstrip("/"), path.strip("/").split("/")
    if has.endswith("/traces"):
        return urlunsplit(parts._replace(path=has))
    begun = max(count for count in range(len(wants)) if f"{has}/".endswith("/".join(["", *wants[:count], ""])))
    return urlunsplit(parts._replace(path="/".join([has, *wants[begun:]])))
