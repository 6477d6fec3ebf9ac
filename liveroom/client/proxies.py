"""The proxy of a connection. A server on this machine is reached without a proxy, whatever the environment says."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

__all__ = ["is_loopback", "proxy_for"]


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine itself."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def proxy_for(url: str, proxy: bool | str) -> str | Literal[True] | None:
    """The `proxy` argument for websockets: an address, `True` for the environment's proxies, or `None` for no proxy."""
    if isinstance(proxy, str):
        return proxy
    return True if proxy and not is_loopback(url) else None
