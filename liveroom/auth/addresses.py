"""Clients' network addresses: which proxies are trusted, and the address hashes in the journal.

The hash of an address is keyed, and differs for each claimed item.
The engine counts users of one network by it without knowing the network, and the hashes of two items cannot be compared.
docs/decisions/0009-address-hashes.md gives the reasons.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final

from liveroom.auth.tokens import kept_secret, load_secret
from liveroom.config.schema import Config
from liveroom.features.tables import admission_of
from liveroom.messages.errors import BadConfig
from liveroom.protocol.commands import Command

__all__ = ["IPV6_NETWORK_BITS", "AddressHasher", "TrustedProxies", "counted_address", "load_address_key"]

#: An IPv6 user can choose addresses from a network of at least this size, so it counts as one address.
IPV6_NETWORK_BITS: Final = 64

#: Peer addresses whose usual form is remembered. Many viewers come from few networks.
PEERS_REMEMBERED: Final = 1_024

_HOST_BITS: Final = 128 - IPV6_NETWORK_BITS

_MARK_BYTES: Final = 8
_KEY_FILE: Final = "address-secret"
#: The text in the log for a hop that is not an address.
_NAMED_CHARS: Final = 64

#: A hop in the forms that proxies write: `[IPv6]`, `[IPv6]:port`, `IPv4:port`. An IPv6 address without brackets has no port.
_HOP: Final = re.compile(r"\[([^\[\]]+)\](?::[0-9]{1,5})?|([^:\[\]]+):[0-9]{1,5}")

log = logging.getLogger(__name__)

Address = IPv4Address | IPv6Address


def counted_address(address: str) -> str:
    """The unit of limits per address: an IPv4 address, or the /64 network of an IPv6 address. Other text stays as it is."""
    if ":" not in address:
        return address
    parsed = _parse(address)
    return address if parsed is None else str(_counted(parsed))


def _counted(address: Address) -> Address | IPv6Network:
    """The counted unit of an address; for IPv6 its network, because a user can choose any address in it."""
    if isinstance(address, IPv4Address):
        return address
    return IPv6Network((int(address) >> _HOST_BITS << _HOST_BITS, IPV6_NETWORK_BITS))


class TrustedProxies:
    """The trusted proxies, whose claims about the client's address are believed. Raises `BadConfig` for text that is not a network."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks: list[IPv4Network | IPv6Network] = []
        self._warned = False
        self._plain = lru_cache(PEERS_REMEMBERED)(_plain)
        for text in networks:
            try:
                self._networks.append(ip_network(text))
            except ValueError as error:
                raise BadConfig(f"gateway.trusted_proxies: {error}") from None

    def client_address(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """The right-most address of the chain that is not a trusted proxy. Claims of an untrusted peer are ignored."""
        if not self._networks:
            return self._plain(peer)
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
        """Warn once, since every request through this proxy may have the same fault."""
        if not self._warned:
            self._warned = True
            words = "a trusted proxy's X-Forwarded-For names no address: limits per address do not see its clients; this is logged once"
            log.warning(words, extra={"proxy": str(proxy), "named": named[:_NAMED_CHARS]})

    def trusts(self, address: Address) -> bool:
        """Whether an address is a trusted proxy's own."""
        return any(address in network for network in self._networks)

    def includes(self, peer: str) -> bool:
        """Whether the text of a peer's address names a trusted proxy."""
        if not self._networks:
            return False
        address = _parse(peer)
        return address is not None and self.trusts(address)


def _plain(peer: str) -> str:
    """A peer's address in its usual form."""
    address = _parse(peer)
    return peer if address is None else str(address)


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
    """Makes address hashes.

    All gateways and consoles of one journal need the same key.
    Raises `BadConfig` for proxies that are not networks.
    """

    def __init__(self, key: bytes, trusted_proxies: Sequence[str]) -> None:
        self._key = key
        self._proxies = TrustedProxies(trusted_proxies)

    def counted_forwarded(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """The unit of limits per address for a request from `peer`; empty for a trusted proxy that names no client."""
        address = self._proxies.client_address(peer, forwarded_for)
        return "" if self._proxies.includes(address) else counted_address(address)

    def hash_forwarded(self, peer: str, forwarded_for: Sequence[str], room: str, command: Command) -> str:
        """Like `hash`, for a request from `peer`."""
        return self.hash(self._proxies.client_address(peer, forwarded_for), room, command)

    def hash(self, address: str, room: str, command: Command) -> str:
        """The address hash of a claim, 16 hex digits. Empty for other commands, and when the client's address is unknown."""
        admission = admission_of(command)
        if admission is None:  # most commands; parsing an address costs as much as decoding one of them
            return ""
        parsed = _parse(address)
        if parsed is None or self._proxies.trusts(parsed):
            return ""
        return blake2b(f"{_counted(parsed)} {room} {admission.claim(command)[0]}".encode(), key=self._key, digest_size=_MARK_BYTES).hexdigest()


def load_address_key(config: Config) -> bytes:
    """The key of address hashes: from its own secret, from the tokens' secret, or from one in the data directory. Raises `BadConfig`."""
    secret = config.auth.address_secret or load_secret(config)
    if not secret and config.journal.kind == "memory":
        return secrets.token_bytes(32)  # the counts do not outlive the process
    return blake2b((secret or kept_secret(Path(config.liveroom.data_dir) / _KEY_FILE)).encode(), person=b"liveroom address", digest_size=32).digest()
