"""Valid frames, mutated: in the bytes of the frame, in the JSON inside it, and in their order."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from tests.e2e.arena import ROOM, Arena
from tests.e2e.raw import Raw, frame, upgraded

__all__ = ["fuzz"]

LANES = 16
#: Frames of a connection; fewer than make a flood, so that each of them is looked at.
TAME_FRAMES = 95
WILD_FRAMES = 5
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"

MESSAGES = [
    b'{"id":"c1","command":{"type":"send_chat","text":"hello, how much is it?"}}',
    b'{"id":"c2","command":{"type":"send_likes","count":7}}',
    b'{"id":"c3","command":{"type":"ask_question","text":"does it shrink?"}}',
    b'{"id":"c4","command":{"type":"request_try_on","product":"p1"}}',
    b'{"id":"c5","command":{"type":"ban_user","user":"anna","duration_ms":1000}}',
    b'{"id":"c6","command":{"type":"add_product","product":{"id":"p1","title":"Silk","price_fen":9900}}}',
]
PIECES = [
    b'"',
    b"{",
    b"}",
    b"[",
    b",",
    b":",
    b"\\",
    b"\\u0000",
    b"null",
    b"-1",
    b"1e9",
    b"\xff",
    b"\x00",
    b"\xf0\x9f\x8e\x81",
    b'"type":',
    b'"id":"c1",',
]


async def fuzz(arena: Arena, *, frames: int, seconds_max: float) -> int:
    """Send at least this many frames, if there is time; returns the number sent."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    until = time.monotonic() + seconds_max
    per_lane = -(-frames // LANES)
    return sum(await asyncio.gather(*(_lane(arena, lane, random.Random(seed + lane), per_lane, until) for lane in range(LANES))))


async def _lane(arena: Arena, lane: int, chance: random.Random, frames: int, until: float) -> int:
    sent = 0
    path = f"/v1/rooms/{ROOM}?token={arena.server.token(ROOM, f'fuzz-{lane}')}"
    while sent < frames and time.monotonic() < until:
        with await upgraded(arena.gateway, path, f"127.0.3.{lane + 1}", *([DEFLATE] if chance.random() < 0.5 else [])) as raw:
            sent += await _one_connection(raw, chance)
    return sent


async def _one_connection(raw: Raw, chance: random.Random) -> int:
    """Frames whose head is right, then some whose head may not be; waits until the server has looked at all and hangs up."""
    tame = b"".join(chance.choice(_TAME)(chance) for _ in range(TAME_FRAMES))
    wild = b"".join(chance.choice(_WILD)(chance) for _ in range(WILD_FRAMES))
    reading = asyncio.create_task(raw.rest())
    try:
        await raw.send(tame)
        await raw.send(wild)
        raw.done()
    except OSError:
        pass  # a wild frame ended it
    await reading
    return TAME_FRAMES + WILD_FRAMES


def _json(chance: random.Random) -> bytes:
    message = bytearray(chance.choice(MESSAGES))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 5))):
        at = chance.randrange(len(message) + 1)
        match chance.randrange(4):
            case 0:
                message[at:at] = chance.choice(PIECES)
            case 1:
                del message[at : at + chance.randrange(1, 9)]
            case 2:
                message[at : at + 1] = bytes((chance.randrange(256),))
            case _:
                message[at:at] = message[: chance.randrange(len(message) + 1)]
    return bytes(message)


def _whole(chance: random.Random) -> bytes:
    return frame(_json(chance), mask=chance.randbytes(4))


def _fragmented(chance: random.Random) -> bytes:
    message = _json(chance)
    at = chance.randrange(len(message) + 1)
    between = frame(chance.randbytes(chance.randrange(126)), chance.choice((9, 10))) if chance.random() < 0.5 else b""
    return frame(message[:at], fin=False) + between + frame(message[at:], 0)


def _control(chance: random.Random) -> bytes:
    return frame(chance.randbytes(chance.randrange(126)), chance.choice((9, 10)))


def _garbled(chance: random.Random) -> bytes:
    data = bytearray(_whole(chance))
    for _ in range(chance.randrange(1, 4)):
        data[chance.randrange(min(len(data), 12))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _odd(chance: random.Random) -> bytes:
    size = chance.choice((-1, -1, 0, 125, 126, 65_535, 65_536, 2**32, 2**63))
    return frame(_json(chance), chance.randrange(16), fin=chance.random() < 0.7, rsv=chance.choice((0, 0, 4, 2, 1)), size=size)


def _cut(chance: random.Random) -> bytes:
    data = _whole(chance)
    return data[: chance.randrange(len(data))]


def _noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(1, 200))


Maker = Callable[[random.Random], bytes]
_TAME: list[Maker] = [_whole, _whole, _whole, _whole, _fragmented, _control]
_WILD: list[Maker] = [_garbled, _garbled, _odd, _cut, _noise, _whole]
