"""Who asks: the token and the page's origin, read from a handshake. Tokens are never logged."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["PROTOCOL", "find_token", "origin_allowed"]

#: The subprotocol of liveroom, version 1.
PROTOCOL = "liveroom.v1"
#: A browser cannot set headers; it may send its token as one more subprotocol instead.
TOKEN_PREFIX = "liveroom.token."


def find_token(authorizations: Sequence[str], subprotocols: Sequence[str], query: str | None) -> str:
    """The token by header, else by subprotocol, else by query; empty when there is none. Schemes that are not ours are passed over."""
    for authorization in authorizations:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
    for name in subprotocols:
        if name.startswith(TOKEN_PREFIX):
            return name[len(TOKEN_PREFIX) :]
    return query or ""


def origin_allowed(origin: str | None, allowed: Sequence[str]) -> bool:
    """Whether a page from `origin` may connect; what sends no Origin is no browser and may."""
    return origin is None or "*" in allowed or origin.lower() in (a.lower().rstrip("/") for a in allowed)
