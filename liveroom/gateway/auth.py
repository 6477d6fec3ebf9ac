"""Who asks: the token, the page's origin and the client's address, read from a handshake. Tokens are never logged."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from liveroom.errors import BadConfig

__all__ = ["PROTOCOL", "Proxies", "find_token", "origin_allowed"]

#: The subprotocol of liveroom, version 1.
PROTOCOL = "liveroom.v1"
#: A browser cannot set headers; it may send its token as one more subprotocol instead.
TOKEN_PREFIX = "liveroom.token."

Address = IPv4Address | IPv6Address


def find_token(authorization: str | None, subprotocols: Sequence[str], query: str | None) -> str:
    """The token by header, else by subprotocol, else by query; empty when there is none."""
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""
    for name in subprotocols:
        if name.startswith(TOKEN_PREFIX):
            return name[len(TOKEN_PREFIX) :]
    return query or ""


def origin_allowed(origin: str | None, allowed: Sequence[str]) -> bool:
    """Whether a page from `origin` may connect; what sends no Origin is no browser and may."""
    return origin is None or "*" in allowed or origin.lower() in (a.lower().rstrip("/") for a in allowed)


class Proxies:
    """The proxies whose word on the client's address is believed. Raises `BadConfig` for what is no network."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks: list[IPv4Network | IPv6Network] = []
        for text in networks:
            try:
                self._networks.append(ip_network(text))
            except ValueError as error:
                raise BadConfig(f"gateway.trusted_proxies: {error}") from None

    def client_address(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """The right-most address of the chain that is no trusted proxy; what an untrusted peer claims is ignored."""
        address = _parse(peer)
        if address is None:
            return peer
        chain = [hop.strip() for line in forwarded_for for hop in line.split(",")]
        while chain and self._trusts(address):
            hop = _parse(chain.pop())
            if hop is None:
                break
            address = hop
        return str(address)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
