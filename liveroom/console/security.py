"""Security headers, which restrict what browsers may do with pages and responses."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from liveroom.messages.errors import BadConfig

__all__ = ["security_headers"]

_NETLOC = re.compile(r"^[A-Za-z0-9._\-:\[\]]+$")


def security_headers(gateway_url: str) -> dict[str, str]:
    """The headers for every response. Pages may connect only to the console and to the gateway at `gateway_url`. Raises `BadConfig`."""
    policy = {
        "default-src": "'self'",
        "connect-src": f"'self' {_origin(gateway_url)}",
        "img-src": "'self' https: http: data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Server": "liveroom",  # otherwise aiohttp would reveal its version and Python's
    }


def _origin(gateway_url: str) -> str:
    parts = urlsplit(gateway_url)
    if parts.scheme not in ("ws", "wss") or not _NETLOC.match(parts.netloc):
        raise BadConfig(f"console.gateway_url: {gateway_url!r} is not the address of a gateway, such as wss://live.example")
    return f"{parts.scheme}://{parts.netloc}"
