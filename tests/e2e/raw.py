"""Bare sockets that say to a server what no library would."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import struct
import zlib
from typing import Any

import orjson

__all__ = ["Raw", "frame", "request", "upgraded"]

WAIT_S = 20


def frame(
    payload: bytes, opcode: int = 1, *, fin: bool = True, rsv: int = 0, masked: bool = True, mask: bytes = b"\x37\xfa\x21\x3d", size: int = -1
) -> bytes:
    """A client's frame; `size` is the length to declare instead of the true one."""
    length = len(payload) if size < 0 else size
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    if length < 126:
        head = bytes((first, bit | length))
    elif length < 65_536:
        head = struct.pack("!BBH", first, bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, bit | 127, length)
    if not masked:
        return head + payload
    stream = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(payload), "big")


def request(path: str, *lines: str, method: str = "GET", version: str = "13") -> bytes:
    """A handshake, valid unless the arguments break it."""
    key = base64.b64encode(os.urandom(16)).decode()
    head = (f"{method} {path} HTTP/1.1", "Host: live.example", "Upgrade: websocket", "Connection: Upgrade")
    return "\r\n".join((*head, f"Sec-WebSocket-Key: {key}", f"Sec-WebSocket-Version: {version}", *lines, "", "")).encode()


class Raw:
    """A socket from an address of its own, with what the server sends read as frames."""

    def __init__(self, client: socket.socket) -> None:
        self.socket = client
        self._buffer = b""

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @classmethod
    async def connect(cls, to: tuple[str, int], address: str, *, receive_buffer: int = 0) -> Raw:
        """Connect from `address`; with the small receive buffer of a client that hardly reads."""
        client = socket.socket()
        client.setblocking(False)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.bind((address, 0))
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(client, to), WAIT_S)
        except BaseException:
            client.close()
            raise
        return cls(client)

    async def send(self, data: bytes) -> None:
        """Send all of it; raises `OSError` when the server has hung up."""
        await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(self.socket, data), WAIT_S)

    async def head(self) -> bytes:
        """Bytes up to the end of a response's head, or up to the end."""
        while b"\r\n\r\n" not in self._buffer and await self._more():
            pass
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        while await self._more():
            pass
        return self._buffer

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload; (-1, b"") at the end of the connection."""
        while (size := self._frame_size()) is None:
            if not await self._more():
                return -1, b""
        header, length = size
        first, payload = self._buffer[0], self._buffer[header : header + length]
        self._buffer = self._buffer[header + length :]
        if first & 0x40:
            payload = zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + b"\x00\x00\xff\xff")
        return first & 15, payload

    async def reply(self, command_id: str) -> dict[str, Any]:
        """The reply to a command; what comes before is dropped."""
        while True:
            opcode, payload = await self.frame()
            assert opcode in (1, 9, 10), (opcode, payload)
            if opcode == 1 and (found := orjson.loads(payload)).get("id") == command_id:
                reply: dict[str, Any] = found
                return reply

    async def close_code(self) -> int:
        """The server's close code; 0 if it hangs up without one."""
        while True:
            opcode, payload = await self.frame()
            if opcode in (8, -1):
                return int.from_bytes(payload[:2], "big")

    def done(self) -> None:
        """Say that nothing more will be sent; what the server sends can still be read."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave with an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    async def _more(self) -> bool:
        try:
            data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, 65_536), WAIT_S)
        except (ConnectionError, BrokenPipeError):
            return False
        self._buffer += data
        return bool(data)

    def _frame_size(self) -> tuple[int, int] | None:
        data = self._buffer
        if len(data) < 2:
            return None
        length, header = data[1] & 127, 2
        if length >= 126:
            header = 4 if length == 126 else 10
            length = int.from_bytes(data[2:header], "big")
        return (header, length) if len(data) >= header + length and len(data) >= header else None


async def upgraded(to: tuple[str, int], path: str, address: str, *lines: str, receive_buffer: int = 0) -> Raw:
    """A connection after its handshake."""
    raw = await Raw.connect(to, address, receive_buffer=receive_buffer)
    try:
        await raw.send(request(path, *lines))
        head = await raw.head()
        assert head.startswith(b"HTTP/1.1 101 "), head
    except BaseException:
        raw.socket.close()
        raise
    return raw
