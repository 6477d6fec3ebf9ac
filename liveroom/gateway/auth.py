"""Reads the token and checks the page's origin of a handshake. Tokens are never logged."""

from __future__ import annotations

from collections.abc import Sequence

from liveroom.auth.tokens import bearer_token

__all__ = ["PROTOCOL", "Origins", "find_token"]

#: The subprotocol of liveroom, version 1.
PROTOCOL = "liveroom.v1"
#: A browser cannot set headers, so it may send its token as an additional subprotocol with this prefix.
TOKEN_PREFIX = "liveroom.token."

#: Default ports, which an origin or a Host header may omit.
_PORTS = {"http": ":80", "ws": ":80", "https": ":443", "wss": ":443"}


def find_token(authorizations: Sequence[str], subprotocols: Sequence[str], query: str | None) -> str:
    """The token from the header, else from a subprotocol, else from the query; empty without one. Other authorization schemes are ignored."""
    if (token := bearer_token(authorizations)) is not None:
        return token
    for name in subprotocols:
        if name.startswith(TOKEN_PREFIX):
            return name[len(TOKEN_PREFIX) :]
    return query or ""


class Origins:
    """The origins of pages that may connect: full origins, `*` for any, or `https://*.example.com`, where `*` is one label of the host."""

    def __init__(self, allowed: Sequence[str]) -> None:
        cleaned = {origin.lower().rstrip("/") for origin in allowed}
        self._any = "*" in cleaned
        self._whole = frozenset(cleaned)
        self._after_label = frozenset(origin for origin in cleaned if "://*." in origin)

    def allow(self, origin: str | None, host: str | None = None) -> bool:
        """Whether a page from `origin` may connect to `host`, the value of its Host header.

        A client without an Origin is no browser, and may connect.
        An origin equal to the host may connect, too: React Native sends the gateway's own host as its origin.
        Only the token identifies the user.
        """
        if origin is None or self._any:
            return True
        origin = origin.lower()
        if origin in self._whole or (host is not None and _is_of(origin, host.lower())):
            return True
        scheme, _, authority = origin.partition("://")
        label, _, rest = authority.partition(".")
        return bool(label) and f"{scheme}://*.{rest}" in self._after_label


def _is_of(origin: str, host: str) -> bool:
    scheme, _, authority = origin.partition("://")
    port = _PORTS.get(scheme)
    return port is not None and authority.removesuffix(port) == host.removesuffix(port)
