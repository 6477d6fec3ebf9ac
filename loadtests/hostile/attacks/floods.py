"""Too much at once, too large, or no sense at all."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import struct
import zlib
from typing import Final

from liveroom.features.chat.messages import SendChat
from liveroom.messages.fields import Role
from liveroom.protocol.codec import encode
from liveroom.protocol.inbound import ClientMessage
from loadtests.hostile.attacks.front import Front
from loadtests.lib.command_connection import CommandConnection, OnReply

__all__ = ["frame_flood", "fuzz", "http_flood", "huge_heads"]

SHOUTERS: Final = 5
#: Commands a second of each, and how many of them at a time.
SHOUTED: Final = 100.0
BURST: Final = 10
REQUESTS: Final = 60.0
LEDGERS: Final = 0.5
HEADS: Final = 10.0
FUZZED: Final = 10.0
READ_S: Final = 2.0
_CODE: Final = re.compile(rb'"code":"([a-z_0-9]+)"')


async def frame_flood(front: Front) -> None:
    """Viewers who send commands ten times as fast as allowed until they are closed, and return."""

    async def hold() -> None:
        speaker = await front.speaker(front.user())
        try:
            number = 0
            while not speaker.end:
                for _ in range(BURST):
                    number += 1
                    speaker.send(f"f{number}", encode(ClientMessage(f"f{number}", SendChat(f"flood {number}"))), _counted(front))
                await asyncio.sleep(BURST / SHOUTED)
            front.count(f"closed {speaker.end.split(' ')[0]}")
        finally:
            _end(speaker)

    await front.keep(SHOUTERS, hold)


def _counted(front: Front) -> OnReply:
    return lambda reply: front.count("unanswered" if reply is None else getattr(reply, "code", "accepted"))


def _end(speaker: CommandConnection) -> None:
    if speaker.transport is not None:
        speaker.transport.abort()


async def http_flood(front: Front) -> None:
    """Requests of all kinds to the console, faster than one token may send commands; now and then for a ledger, which has to be read."""
    field = front.field
    viewer = {"Authorization": f"Bearer {front.token('http-flood')}", "Content-Type": "application/json"}
    anchor = {"Authorization": f"Bearer {front.token('den-anchor', Role.anchor, field.dens[0])}"}
    line = encode(SendChat("flood"))
    async with front.session() as session:

        async def request() -> None:
            kind = front.rng.randrange(4)
            if kind == 0:
                async with session.get("/v1/rooms") as answer:
                    front.count(f"rooms {answer.status}")
            elif kind == 1:
                async with session.get(f"/v1/rooms/{field.room}") as answer:
                    front.count(f"room {answer.status}")
            else:
                async with session.post(f"/v1/rooms/{field.room}/commands/send_chat", data=line, headers=viewer) as answer:
                    front.count(f"send_chat {answer.status}")

        async def ledger() -> None:
            async with session.get(f"/v1/rooms/{field.dens[0]}/ledger", headers=anchor) as answer:
                front.count(f"ledger {answer.status}")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(front.steadily(REQUESTS, request))
            tasks.create_task(front.steadily(LEDGERS, ledger))


async def huge_heads(front: Front) -> None:
    """Heads with cookies of 4 to 128 KB, or with hundreds of headers, to gateway and console."""

    async def ask() -> None:
        size = 4_096 << front.rng.randrange(6)
        many = b"".join(b"X-%d: a\r\n" % number for number in range(size // 12))
        more = b"Cookie: a=" + b"c" * size + b"\r\n" if front.rng.random() < 0.7 else many
        to_gateway = front.rng.random() < 0.5
        path = f"/v1/rooms/{front.field.room}" if to_gateway else "/livez"
        reader, writer = await front.stream(front.gateway if to_gateway else front.console, front.address.tls if to_gateway else None)
        try:
            writer.write(_head(path, front.token("huge")) + more + b"\r\n")
            await writer.drain()
            async with asyncio.timeout(READ_S):
                status = (await reader.readline()).split(b" ")
            front.count(f"{'gateway' if to_gateway else 'console'} {status[1].decode() if len(status) > 1 else 'no answer'}")
        finally:
            writer.transport.abort()

    await front.steadily(HEADS, ask)


async def fuzz(front: Front) -> None:
    """Bytes without sense: instead of a handshake, after it, and to the console."""

    async def one() -> None:
        kind = front.rng.randrange(3)
        address, tls = (front.console, None) if kind == 0 else (front.gateway, front.address.tls)
        reader, writer = await front.stream(address, tls)
        try:
            if kind < 2:
                writer.write(_no_sense(front))
            else:
                key = base64.b64encode(os.urandom(16)).decode()
                upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                upgrade += "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n"
                writer.write(_head(f"/v1/rooms/{front.field.room}", front.token(front.user())) + upgrade.encode())
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"".join(_frame(front) for _ in range(5)))
            await writer.drain()
            async with asyncio.timeout(READ_S):
                while found := await reader.read(65_536):
                    for code in _CODE.findall(found):
                        front.count(code.decode())
            front.count("closed")
        finally:
            writer.transport.abort()

    await front.steadily(FUZZED, one)


def _head(path: str, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n".encode()


def _no_sense(front: Front) -> bytes:
    """Random bytes, or a request that is broken somewhere."""
    rng = front.rng
    if rng.random() < 0.4:
        return rng.randbytes(rng.randrange(1, 4_000))
    request = bytearray(
        rng.choice(
            [
                b"GET //[ HTTP/1.1\r\nHost: a\r\n\r\n",
                b"GET /v1/rooms/%ff%fe?stream_id=a&seq=99999999999999999999 HTTP/1.1\r\nHost: a\r\n\r\n",
                b"POST /v1/rooms/a/commands/send_chat HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n{}",
                b"POST /v1/rooms/a/commands/send_chat HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
                b"POST /v1/rooms/a/commands/x HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
                b"GET / HTTP/1.1\r\n" + b"Host: a\r\n" * 50 + b"\r\n",
            ]
        )
    )
    for _ in range(rng.randrange(4)):
        request[rng.randrange(len(request))] = rng.randrange(256)
    return bytes(request)


def _frame(front: Front) -> bytes:
    """A frame that no client should send, or a message that is broken somewhere."""
    rng = front.rng
    text = bytearray(encode(ClientMessage("z1", SendChat("fuzz"))))
    for _ in range(rng.randrange(4)):
        text[rng.randrange(len(text))] = rng.randrange(256)
    match rng.randrange(6):
        case 0:  # any bits
            return rng.randbytes(rng.randrange(2, 200))
        case 1:  # unmasked
            return bytes((0x81, len(text))) + text
        case 2:  # a length that never comes
            return b"\x81\xff" + struct.pack("!Q", 1 << rng.randrange(10, 63)) + b"\0\0\0\0"
        case 3:  # small, and large when it is inflated
            packed = zlib.compressobj(wbits=-15)
            bomb = packed.compress(b"a" * 4_000_000) + packed.flush(zlib.Z_SYNC_FLUSH)
            return b"\xc1\xfe" + struct.pack("!H", len(bomb) - 4) + b"\0\0\0\0" + bomb[:-4]
        case 4:  # a fragment without an end
            return bytes((0x01, 0x80 | len(text))) + b"\0\0\0\0" + text
        case _:
            return bytes((0x81, 0x80 | len(text))) + b"\0\0\0\0" + text
