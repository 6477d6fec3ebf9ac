"""A WebSocket client that costs little per frame, so that thousands of them are not the bottleneck of a load test.

It takes what a gateway sends: whole unmasked text frames, pings and a close; anything else ends the connection.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
import ssl
import struct
import zlib
from typing import Final, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

__all__ = ["Address", "HandshakeRefused", "LeanConnection", "open_connection"]

#: Largest frame that is taken from a server.
FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
HANDSHAKE_BYTES_MAX: Final = 16 * 1024
ATTEMPT_S: Final = 30.0

_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class HandshakeRefused(Exception):
    """The server answered the handshake with another HTTP status than 101; `status` 0 when it answered nothing at all."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"handshake refused with {status}: {words}")
        self.status = status


class Address(NamedTuple):
    """Where a gateway is, from a ws:// or wss:// address; `tls` carries the certificate rules."""

    host: str
    port: int
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, url: str) -> Address:
        """Raises `ValueError` for what is no ws:// or wss:// address."""
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ValueError(f"expected ws://HOST:PORT or wss://HOST:PORT, got {url!r}")
        tls = ssl.create_default_context() if parts.scheme == "wss" else None
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls)


class LeanConnection(asyncio.Protocol):
    """One connection. A subclass takes `on_text`, `on_end`; `opened` is done when the handshake is."""

    def __init__(self, address: Address, path: str, token: str, *, deflate: bool = False) -> None:
        self.transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._key = base64.b64encode(os.urandom(16))
        self._request = _request(address, path, token, self._key, deflate)
        self._buffer = b""
        self._ended = False

    # Overridden by subclasses

    def on_text(self, raw: bytes, text: bytes) -> None:
        """A frame came: `raw` as on the wire, `text` its payload."""

    def on_end(self, code: int, reason: str) -> None:
        """The connection ended, once: with the server's close code, 1006 when it was lost."""

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own is none by class
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Cut what came into frames."""
        self._buffer = data = self._buffer + data if self._buffer else data
        if not self.opened.done():
            if b"\r\n\r\n" not in data:
                if len(data) > HANDSHAKE_BYTES_MAX:
                    self._refuse(0, "the answer is no HTTP")
                return
            head, _, data = data.partition(b"\r\n\r\n")
            if not self._check_handshake(head):
                return
            self._buffer = data
        at = 0
        while (end := _frame_end(data, at)) > 0:
            self._on_frame(data[at:end])
            at = end
        self._buffer = data[at:]
        if end < 0 and self.transport is not None:
            self._end(1006, "the server sent a frame that no gateway sends")
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        if not self.opened.done():
            self.opened.set_exception(HandshakeRefused(0, "the connection was closed during the handshake"))
        self._end(1006, str(error) if error else "closed without a close frame")

    # Sending

    def send_text(self, text: bytes) -> None:
        """Send one text frame; nothing when the connection is gone."""
        self._send(_TEXT, text)

    def close(self) -> None:
        """Say goodbye and close at once, without waiting for the answer."""
        self._send(_CLOSE, struct.pack("!H", 1000))
        self._ended = True
        if self.transport is not None:
            self.transport.abort() if self.transport.get_write_buffer_size() else self.transport.close()

    def _send(self, opcode: int, payload: bytes) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        size = len(payload)
        length = struct.pack("!B", 0x80 | size) if size < 126 else struct.pack("!BH", 0xFE, size) if size < 65_536 else struct.pack("!BQ", 0xFF, size)
        # A mask of zeros is a mask: the payload stays as it is.
        self.transport.write(bytes((0x80 | opcode,)) + length + b"\0\0\0\0" + payload)

    # Frames

    def _on_frame(self, raw: bytes) -> None:
        opcode, payload = raw[0] & 0x0F, raw[_header_bytes(raw, 0) :]
        if opcode == _TEXT:
            self.on_text(raw, inflate(payload) if raw[0] & 0x40 else payload)
        elif opcode == _PING:
            self._send(_PONG, payload)
        elif opcode == _CLOSE:
            code = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else 1005
            self._end(code, payload[2:].decode(errors="replace"))
            self._send(_CLOSE, payload[:2])
            if self.transport is not None:
                self.transport.close()

    def _check_handshake(self, head: bytes) -> bool:
        status_line, *lines = head.split(b"\r\n")
        status = status_line.split(b" ")[1] if status_line.startswith(b"HTTP/1.1 ") else b"0"
        if status != b"101":
            self._refuse(int(status) if status.isdigit() else 0, status_line.decode(errors="replace"))
            return False
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        if headers.get(b"sec-websocket-accept") != base64.b64encode(hashlib.sha1(self._key + _GUID).digest()):
            self._refuse(0, "the answer to the key is wrong")
            return False
        self.opened.set_result(None)
        return True

    def _refuse(self, status: int, words: str) -> None:
        self.opened.set_exception(HandshakeRefused(status, words))
        if self.transport is not None:
            self.transport.abort()

    def _end(self, code: int, reason: str) -> None:
        if not self._ended:
            self._ended = True
            self.on_end(code, reason)


C = TypeVar("C", bound=LeanConnection)


async def open_connection(connection: C, address: Address, *, source: str = "", receive_bytes: int = 0) -> C:
    """Connect and shake hands. Raises `HandshakeRefused` and `OSError`.

    `source` is the local address to come from; `receive_bytes` > 0 sets the kernel's receive buffer.
    """
    loop = asyncio.get_running_loop()
    family, kind, protocol, _, peer = (await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM))[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        if source:
            sock.bind((source, 0))
        async with asyncio.timeout(ATTEMPT_S):
            await loop.sock_connect(sock, peer)
            await loop.create_connection(lambda: connection, sock=sock, ssl=address.tls, server_hostname=address.host if address.tls else None)
            await connection.opened
    except BaseException:
        sock.close() if connection.transport is None else connection.transport.abort()
        raise
    return connection


def _request(address: Address, path: str, token: str, key: bytes, deflate: bool) -> bytes:
    extension = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n" if deflate else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {address.host}:{address.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {token}\r\n{extension}\r\n"
    ).encode()


def inflate(payload: bytes) -> bytes:
    """Decompress a permessage-deflate message without context takeover."""
    return zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff", FRAME_BYTES_MAX)


def _header_bytes(data: bytes, at: int) -> int:
    short = data[at + 1]
    return 2 if short < 126 else 4 if short == 126 else 10


def _frame_end(data: bytes, at: int) -> int:
    """Where the frame that begins at `at` ends; 0 when it is not whole yet, -1 when it is no frame of a gateway."""
    if len(data) - at < 2:
        return 0
    if data[at + 1] & 0x80 or not data[at] & 0x80:
        return -1  # masked, or a fragment
    header = _header_bytes(data, at)
    if len(data) - at < header:
        return 0
    size: int = data[at + 1] if header == 2 else struct.unpack_from("!H" if header == 4 else "!Q", data, at + 2)[0]
    if size > FRAME_BYTES_MAX:
        return -1
    end = at + header + size
    return end if end <= len(data) else 0
