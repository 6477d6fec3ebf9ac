"""Connections that stay silent, never finish a message, or come and go."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

from loadtests.hostile.attacks.front import Front, hello_bytes
from loadtests.lib.command_connection import CommandConnection
from loadtests.lib.room_connection import join_once

__all__ = ["churn", "half_open", "half_tls", "many_viewers", "never_reads", "silent", "silent_console"]

#: More than the server may hold altogether, so that it has to drop some.
SILENT: Final = 600
HALF_TLS: Final = 400
HALF_OPEN: Final = 100
SILENT_CONSOLE: Final = 200
DRIP_S: Final = 1.0
#: Connections a second that are closed at once; that shake hands by TLS first; that join the room first; the last two by a reset every second time.
CHURN_TCP: Final = 20.0
CHURN_TLS: Final = 10.0
CHURN_JOIN: Final = 5.0
READERS: Final = 20
MANY: Final = 120
RECEIVE_BYTES: Final = 4_096
PING: Final = b"\x89\x80\0\0\0\0"


async def silent(front: Front) -> None:
    """TCP connections to the gateway that say nothing."""
    await front.keep(SILENT, lambda: _hold(front, front.gateway, b""))


async def half_tls(front: Front) -> None:
    """Half a TLS hello, and nothing more."""
    hello = hello_bytes()
    await front.keep(HALF_TLS, lambda: _hold(front, front.gateway, hello[: len(hello) // 2]))


async def silent_console(front: Front) -> None:
    """TCP connections to the console that say nothing."""
    await front.keep(SILENT_CONSOLE, lambda: _hold(front, front.console, b""))


async def half_open(front: Front) -> None:
    """Half a WebSocket handshake, a byte a second."""

    async def hold() -> None:
        reader, writer = await front.stream(front.gateway, front.address.tls)
        try:
            writer.write(f"GET /v1/rooms/{front.field.room} HTTP/1.1\r\nHost: a\r\nX-A: ".encode())
            while not reader.at_eof():
                writer.write(b"a")
                await writer.drain()
                try:
                    async with asyncio.timeout(DRIP_S):
                        if not await reader.read(1024):
                            return
                except TimeoutError:
                    continue
        finally:
            writer.transport.abort()

    await front.keep(HALF_OPEN, hold)


async def churn(front: Front) -> None:
    """Connections that come and go: bare, by TLS, and as viewers."""

    async def tcp() -> None:
        (await front.tcp(front.gateway)).close()
        front.count("tcp")

    async def tls() -> None:
        _, writer = await front.stream(front.gateway, front.address.tls)
        _leave(front, writer.transport)
        front.count("tls")

    async def join() -> None:
        speaker = await front.speaker(front.user())
        assert speaker.transport is not None
        _leave(front, speaker.transport)
        front.count("joined")

    async with asyncio.TaskGroup() as tasks:
        for per_s, act in ((CHURN_TCP, tcp), (CHURN_TLS, tls), (CHURN_JOIN, join)):
            tasks.create_task(front.steadily(per_s, act))


async def many_viewers(front: Front) -> None:
    """More viewers than one address may have."""

    async def hold() -> None:
        speaker = await front.speaker(front.user())
        try:
            while not speaker.end:  # noqa: ASYNC110 (it may end in several ways)
                await asyncio.sleep(DRIP_S)
        finally:
            _abort(speaker)

    await front.keep(MANY, hold)


async def never_reads(front: Front) -> None:
    """Viewers of the honest room who never read and ping all the time."""

    async def hold() -> None:
        user = front.user()
        speaker = CommandConnection(front.address, f"/v1/rooms/{front.field.room}", front.token(user))
        await join_once(speaker, front.address, source=front.source(), receive_bytes=RECEIVE_BYTES)
        transport = speaker.transport
        assert transport is not None
        try:
            transport.pause_reading()
            while not transport.is_closing():
                transport.write(PING * 10)
                await asyncio.sleep(DRIP_S)
        finally:
            transport.abort()

    await front.keep(READERS, hold)


def _abort(speaker: CommandConnection) -> None:
    if speaker.transport is not None:
        speaker.transport.abort()


def _leave(front: Front, transport: asyncio.WriteTransport) -> None:
    """Every second time without a goodbye."""
    if front.rng.random() < 0.5:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _hold(front: Front, address: tuple[str, int], words: bytes) -> None:
    """Connect, say `words`, and wait until the server ends it."""
    sock, loop = await front.tcp(address), asyncio.get_running_loop()
    try:
        if words:
            await loop.sock_sendall(sock, words)
        while await loop.sock_recv(sock, 4_096):
            pass
    finally:
        sock.close()
