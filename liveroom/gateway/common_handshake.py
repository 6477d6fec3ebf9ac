"""Answers the common handshake request in a few microseconds. The websockets library judges every other request.

How it works. Browsers and SDKs of one room send nearly the same head: each header once, the usual upgrade, a key of 16 bytes. `parse` takes such
a head and makes the response that the library would make; the date is the only difference from one to the next. It gives `None` for any other
head, wrong or only unusual. So this module never accepts a request that the library refuses, and never refuses one.
The library's judgment on an offer of extensions is remembered by the offer's text, because it depends on nothing else.
"""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Sequence
from email.utils import formatdate
from hashlib import sha1
from typing import Final

from msgspec import Struct

from liveroom.gateway.head import parse_common_head

__all__ = ["CommonHandshakes", "CommonRequest"]

#: Offers of extensions whose judgment is remembered, and the bytes of each. Browsers have about five; more come from clients that invent them.
OFFERS_MAX: Final = 64
OFFER_BYTES_MAX: Final = 200

#: RFC 6455, section 1.3.
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: 16 bytes in base64, with its unused bits 0.
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
_RESPONSE: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nDate: %b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n%b%b\r\n"
)
_PATH: Final = re.compile(r"(/[A-Za-z0-9\-._~/]+)(?:\?([A-Za-z0-9\-._~=&]*))?")
_CONNECTIONS: Final = frozenset({b"upgrade", b"keep-alive, upgrade"})
_SUBPROTOCOLS: Final = re.compile(rb"liveroom\.v1(?:, ?liveroom\.token\.[A-Za-z0-9._-]+)?")


class CommonRequest(Struct, frozen=True):
    """A request that the library would accept, and the response to it."""

    path: str
    query: str
    headers: dict[bytes, bytes]
    response: bytes
    deflate: bool

    def value(self, name: bytes) -> str | None:
        """The value of a header, which comes once or not at all."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def values(self, name: bytes) -> Sequence[str]:
        """The value of a header as a list."""
        value = self.headers.get(name)
        return () if value is None else (value.decode("latin-1"),)


class CommonHandshakes:
    """Parses common requests. It remembers the library's judgment on offers of extensions."""

    def __init__(self) -> None:
        # The line of the response, and whether frames are deflated, by the offer; `None` is a request without one.
        self._offers: dict[bytes | None, tuple[bytes, bool]] = {None: (b"", False)}
        self._date = b""
        self._date_s = 0

    def learn(self, offer: str, accepted: str | None, *, deflate: bool) -> None:
        """Remember the library's judgment on one header with an offer. `accepted` is the header of the response."""
        text = offer.encode("latin-1")
        if len(text) <= OFFER_BYTES_MAX and len(self._offers) < OFFERS_MAX:
            line = f"Sec-WebSocket-Extensions: {accepted}\r\n" if accepted is not None else ""
            self._offers[text] = line.encode("latin-1"), deflate

    def parse(self, head: bytes) -> CommonRequest | None:
        """The request of a head; `None` if the library has to judge it."""
        parsed = parse_common_head(head)
        if parsed is None:
            return None
        target, headers = parsed
        where = _PATH.fullmatch(target)
        key = headers.get(b"sec-websocket-key", b"")
        offer = self._offers.get(headers.get(b"sec-websocket-extensions"))
        subprotocols = headers.get(b"sec-websocket-protocol")
        if (
            where is None
            or offer is None
            or _KEY.fullmatch(key) is None
            or headers.get(b"upgrade", b"").lower() != b"websocket"
            or headers.get(b"connection", b"").lower() not in _CONNECTIONS
            or headers.get(b"sec-websocket-version") != b"13"
            or (subprotocols is not None and _SUBPROTOCOLS.fullmatch(subprotocols) is None)
        ):
            return None
        response = _RESPONSE % (
            self._now(),
            b64encode(sha1(key + _GUID, usedforsecurity=False).digest()),
            offer[0],
            b"Sec-WebSocket-Protocol: liveroom.v1\r\n" if subprotocols is not None else b"",
        )
        return CommonRequest(where[1], where[2] or "", headers, response, offer[1])

    def _now(self) -> bytes:
        """The value of the header `Date`, made once a second."""
        now_s = int(time.time())
        if now_s != self._date_s:
            self._date_s, self._date = now_s, formatdate(now_s, usegmt=True).encode()
        return self._date
