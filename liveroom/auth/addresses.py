"""Clients' network addresses: whose word on them is believed, and the marks that stand for them in the journal.

A mark is a keyed hash, another one for each claimed item: the engine counts users of one network by it without knowing the
network, and two items' marks cannot be laid beside each other. docs/decisions/0009-address-marks.md says why it is made so.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Sequence
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final

from liveroom.auth.tokens import kept_secret, load_secret
from liveroom.config.schema import Config
from liveroom.features.registry import admission_of
from liveroom.messages.errors import BadConfig
from liveroom.protocol.commands import Command

__all__ = ["IPV6_NETWORK_BITS", "AddressHasher", "TrustedProxies", "counted_address", "load_address_key"]

#: An IPv6 user has at least a network of this size to choose addresses from: it counts as one address.
IPV6_NETWORK_BITS: Final = 64

_HOST_BITS: Final = 128 - IPV6_NETWORK_BITS

_MARK_BYTES: Final = 8
_KEY_FILE: Final = "address-secret"
#: What a log shows of a hop that is no address.
_NAMED_CHARS: Final = 64

#: A hop with what proxies put around an address: `[IPv6]`, `[IPv6]:port`, `IPv4:port`. An IPv6 address without brackets has no port.
_HOP: Final = re.compile(r"\[([^\[\]]+)\](?::[0-9]{1,5})?|([^:\[\]]+):[0-9]{1,5}")

log = logging.getLogger(__name__)

Address = IPv4Address | IPv6Address


def counted_address(address: str) -> str:
    """What limits per address count: an IPv4 address, or the /64 network of an IPv6 address. Other text stands for itself."""
    if ":" not in address:
        return address
    parsed = _parse(address)
    return address if parsed is None else str(_counted(parsed))


def _counted(address: Address) -> Address | IPv6Network:
    """An IPv6 user chooses addresses freely within its network, so the network is what counts."""
    if isinstance(address, IPv4Address):
        return address
    return IPv6Network((int(address) >> _HOST_BITS << _HOST_BITS, IPV6_NETWORK_BITS))


class TrustedProxies:
    """The proxies whose word on the client's address is believed. Raises `BadConfig` for what is no network."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks: list[IPv4Network | IPv6Network] = []
        self._warned = False
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
        while chain and self.trusts(address):
            named = chain.pop()
            hop = _parse_hop(named)
            if hop is None:
                self._warn(address, named)
                break
            address = hop
        return str(address)

    def _warn(self, proxy: Address, named: str) -> None:
        """Once, since every request through this proxy may be like it."""
        if not self._warned:
            self._warned = True
            words = "a trusted proxy's X-Forwarded-For names no address: limits per address do not see its clients; this is told once"
            log.warning(words, extra={"proxy": str(proxy), "named": named[:_NAMED_CHARS]})

    def trusts(self, address: Address) -> bool:
        """Whether an address is a trusted proxy's own."""
        return any(address in network for network in self._networks)

    def includes(self, peer: str) -> bool:
        """Whether the address of a connection's other end, as text, is a trusted proxy's own."""
        if not self._networks:
            return False
        address = _parse(peer)
        return address is not None and self.trusts(address)


def _parse_hop(text: str) -> Address | None:
    around = _HOP.fullmatch(text)
    return _parse((around[1] or around[2]) if around else text)


def _parse(text: str) -> Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


class AddressHasher:
    """Makes marks; all gateways and consoles of one journal need the same key. Raises `BadConfig` for proxies that are no networks."""

    def __init__(self, key: bytes, trusted_proxies: Sequence[str]) -> None:
        self._key = key
        self._proxies = TrustedProxies(trusted_proxies)

    def counted_forwarded(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """What limits per address count for a request from `peer`; empty for a trusted proxy that names no client."""
        address = self._proxies.client_address(peer, forwarded_for)
        return "" if self._proxies.includes(address) else counted_address(address)

    def mark_forwarded(self, peer: str, forwarded_for: Sequence[str], room: str, command: Command) -> str:
        """As `mark`, for a request from `peer`."""
        return self.mark(self._proxies.client_address(peer, forwarded_for), room, command)

    def mark(self, address: str, room: str, command: Command) -> str:
        """16 hex digits for the address that a claim comes from; empty for other commands, and when the client's address is not known."""
        admission = admission_of(command)
        parsed = _parse(address)
        if admission is None or parsed is None or self._proxies.trusts(parsed):
            return ""
        return blake2b(f"{_counted(parsed)} {room} {admission.claim(command)[0]}".encode(), key=self._key, digest_size=_MARK_BYTES).hexdigest()


def load_address_key(config: Config) -> bytes:
    """The key of marks, by the settings: of their own secret, of the tokens', or of one kept in the data directory. Raises `BadConfig`."""
    secret = config.auth.address_secret or load_secret(config)
    if not secret and config.journal.kind == "memory":
        return secrets.token_bytes(32)  # what it counted goes with the process
    return blake2b((secret or kept_secret(Path(config.liveroom.data_dir) / _KEY_FILE)).encode(), person=b"liveroom address", digest_size=32).digest()
