"""Hostile input at one real server: it stays up, releases everything, and no other client notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import zlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.arena import PER_ADDRESS_MAX, ROOM, Arena, open_arena
from tests.e2e.fuzz import fuzz
from tests.e2e.raw import Raw, frame, request, upgraded

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEAF_S = 3
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
TEXTS = "liveroom_gateway_commands_total"
HELLO = b'{"id":"c1","command":{"type":"send_chat","text":"hello"}}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena(journal: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    """One server for all attacks on a kind of journal, so that each attack finds the traces of the one before."""
    async with open_arena(tmp_path_factory.mktemp("arena") / "data") as arena:
        yield arena


def room_path(arena: Arena, user: str, room: str = ROOM) -> str:
    return f"/v1/rooms/{room}?token={arena.server.token(ROOM, user)}"


async def enter(arena: Arena, user: str, address: str, *lines: str, receive_buffer: int = 0) -> Raw:
    return await upgraded(arena.gateway, room_path(arena, user), address, *lines, receive_buffer=receive_buffer)


def zeros(count: int) -> bytes:
    """A small frame that is large once inflated."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return frame((deflate.compress(bytes(count)) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=4)


# Bytes after the handshake -> the close codes that may answer them.
BROKEN: dict[str, tuple[bytes, set[int]]] = {
    "unmasked": (frame(HELLO, masked=False), {4503}),
    "binary": (frame(HELLO, 2), {4503}),
    **{f"reserved opcode {opcode}": (frame(HELLO, opcode), {4503}) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    **{f"reserved bits {rsv}": (frame(HELLO, rsv=rsv), {4503}) for rsv in range(1, 8)},
    "reserved bit on a fragment": (frame(HELLO[:9], fin=False) + frame(HELLO[9:], 0, rsv=4), {4503}),
    "a continuation of nothing": (frame(HELLO, 0), {4503}),
    "a text within a message": (frame(HELLO[:9], fin=False) + frame(HELLO), {4503}),
    "a ping in fragments": (frame(b"ping", 9, fin=False), {4503}),
    "a ping of 126 bytes": (frame(bytes(126), 9), {4503}),
    "a close of 1 byte": (frame(b"\x03", 8), {4503}),
    **{f"a close with {code}": (frame(code.to_bytes(2, "big"), 8), {4503}) for code in (0, 999, 1004, 1005, 1006, 1015, 5000, 65535)},
    "a close with a reason that is no UTF-8": (frame(b"\x03\xe8\xff", 8), {4503}),
    **{f"{size} bytes declared": (frame(b"{", size=size), {1009, 4503}) for size in (20_000, 2**31, 2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 1)},
    "a huge ping declared": (frame(b"x", 9, size=2**40), {1009, 4503}),
    "fragments without end": (frame(b"x" * 4000, fin=False) + frame(b"x" * 4000, 0, fin=False) * 50, {1009}),
    "a flood of pings": (frame(b"", 9) * 5_000, {4504}),
    "a flood of pongs": (frame(b"x" * 125, 10) * 5_000, {4504}),
    "a flood of empty fragments": (frame(b"", fin=False) + frame(b"", 0, fin=False) * 5_000, {4504}),
    "a large frame": (frame(b"x" * 60_000), {1009}),
}
BROKEN_DEFLATE: dict[str, tuple[bytes, set[int]]] = {
    "deflate that is none": (frame(b"\xff\xff\xff\xff", rsv=4), {4503}),
    "a bomb": (zeros(50_000_000), {1009}),
    "a bomb behind a fragment": (frame(b"", fin=False, rsv=4) + frame(zeros(50_000_000)[8:], 0), {1009, 4503}),
}


async def test_broken_frames(arena: Arena) -> None:
    """A frame that breaks RFC 6455 or a limit is answered at once with its close code, and with nothing else."""

    async def attack(name: str, sent: bytes, codes: set[int], *lines: str) -> str:
        with await enter(arena, "mallory", "127.0.0.2", *lines) as raw:
            await raw.send(sent)
            code = await raw.close_code()
        return "" if code in codes else f"{name}: {code}"

    async with arena.attacked():
        wrong = [await attack(name, *case) for name, case in BROKEN.items()]
        wrong += [await attack(name, *case, DEFLATE) for name, case in BROKEN_DEFLATE.items()]
        assert [words for words in wrong if words] == []


async def test_odd_but_allowed_frames(arena: Arena) -> None:
    """Fragments of single bytes, control frames between them, empty fragments and zero masks are a message like any other."""
    pieces = [HELLO[i : i + 1] for i in range(len(HELLO))]
    between = frame(b"p", 9) + frame(b"", 10) + frame(b"", 0, fin=False)
    fragments = [frame(pieces[0], fin=False), *(between + frame(piece, 0, fin=False) for piece in pieces[1:]), frame(b"", 0)]
    odd = {
        "fragments": b"".join(fragments),
        "deflated fragments": b"",
        "no mask": frame(HELLO, mask=bytes(4)),
        "a pong that nobody asked for": frame(b"x" * 125, 10) + frame(HELLO),
        "many pings": frame(b"", 9) * 500 + frame(HELLO),
        "many empty fragments": frame(b"", fin=False) + frame(b"", 0, fin=False) * 500 + frame(HELLO, 0),
    }
    deflate = zlib.compressobj(9, zlib.DEFLATED, -9)
    packed = (deflate.compress(HELLO) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    odd["deflated fragments"] = frame(packed[:5], fin=False, rsv=4) + frame(b"", 9) + frame(packed[5:], 0)

    async with arena.attacked():
        for number, (name, sent) in enumerate(odd.items()):
            at_once = 50 if number % 2 else 1 << 20
            with await enter(arena, f"odd-{number}", "127.0.0.2", DEFLATE) as raw:
                for at in range(0, len(sent), at_once):
                    await raw.send(sent[at : at + at_once])
                reply = await raw.reply("c1")
                assert reply["type"] == "accepted", (name, reply)
                await raw.send(frame(b"\x03\xe8bye", 8))
                assert await raw.close_code() == 1000, name


async def test_bad_messages(arena: Arena) -> None:
    """Texts that are no commands are refused with a code, and the connection goes on."""
    bad = {
        frame(HELLO, mask=b"\x01\x02\x03\x04")[:6] + HELLO: {"malformed", "bad_utf8"},  # a wrong mask
        frame(b""): {"malformed"},
        frame(b"\xff\xfe\x00"): {"malformed", "bad_utf8"},
        frame(b"\xef\xbb\xbf" + HELLO): {"malformed"},
        frame(b'{"id":"c1","command":{"type":"send_chat","text":"\\ud800"}}'): {"malformed", "bad_utf8", "bad_value"},
        frame(b"[" * 4_000): {"malformed", "wrong_type"},
        frame(b'{"a":' * 800): {"malformed", "unknown_field"},
        frame(b"1e999999"): {"wrong_type"},
        frame(b"9" * 4_000): {"wrong_type"},
        frame(b'{"id":"c1","command":{"type":"send_likes","count":%s}}' % (b"9" * 3_000)): {"out_of_range", "wrong_type", "malformed"},
        frame(b"x" * 10_000): {"too_large", "malformed"},
        frame(b'{"id":"' + b"i" * 3_000 + b'","command":{"type":"send_chat","text":"hi"}}'): {"too_long", "bad_value"},
        frame(b'{"id":"c1","command":{"type":"report_audience","gateway":"g","viewers":1}}'): {
            "forbidden",
            "unknown_field",
            "missing_field",
            "unknown_command",
        },
    }
    async with arena.attacked():
        with await enter(arena, "babbler", "127.0.0.2") as raw:
            for sent, codes in bad.items():
                await raw.send(sent)
                while (got := await raw.frame())[0] != 1 or b'"refused"' not in got[1]:
                    assert got[0] in (1, 9), (sent[:80], got)
                refused = json.loads(got[1])
                assert refused["code"] in codes, (sent[:80], refused)


async def test_handshakes_that_are_none(arena: Arena) -> None:
    """A bad request is answered in HTTP with a reason, a bad token or room with a close code; nothing with silence for long."""
    good = room_path(arena, "visitor")
    head = [
        (request("/nothing/here"), b"404"),
        (request("/v1/rooms"), b"404"),
        (request(good, method="POST"), b"4"),
        (request(good, method="BREW"), b"4"),
        (request(good, version="12"), b"4"),
        (request(good, "Origin: https://evil.example"), b"403"),
        (request(good, "X: " + "y" * 100_000), b"431"),
        (request(good, *(f"X-{i}: y" for i in range(1_000))), b"4"),
        (request("/" + "v" * 100_000), b"4"),
        (request(f"/v1/rooms/{ROOM}?token=" + "v" * 10_000), b"414"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"4"),
        (f"GET {good} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), b"400"),
        (f"GET {good} HTTP/1.0\r\nHost: x\r\n\r\n".encode(), b"505"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
        (b"GET " + bytes(range(256)) + b" HTTP/1.1\r\n\r\n", b"4"),
        (random.randbytes(5_000) + b"\r\n\r\n", b"4"),
        (b"\r\n\r\n", b"4"),
        (request(good).replace(b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: short"), b"4"),
        (request(good, "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99"), b"101"),
        (request(good, "Sec-WebSocket-Extensions: ;;;=,,"), b"4"),
        (request(good, "Sec-WebSocket-Protocol: ,,;;"), b"4"),
    ]
    token = arena.server.token(ROOM, "visitor")
    closes = [
        (f"/v1/rooms/{ROOM}", 4500),
        (f"/v1/rooms/{ROOM}?token=nonsense", 4500),
        (f"/v1/rooms/{ROOM}?token={token[:-4]}AAAA", 4500),
        (f"/v1/rooms/{ROOM}?token={'a' * 7_000}", 4500),
        (f"/v1/rooms/{ROOM}?" + "&".join(f"a{i}=b" for i in range(500)), 4500),
        (f"/v1/rooms/other?token={token}", 4501),
        (f"/v1/rooms/..%2f..%2fetc?token={token}", 4505),
        (f"/v1/rooms/%00?token={token}", 4505),
        (f"/v1/rooms/{'r' * 65}?token={token}", 4505),
        (f"/v1/rooms/?token={token}", 4505),
        (f"/v1/rooms/%ff%fe?token={token}", 4505),
        (f"/v1/rooms/never-opened?token={arena.server.token('never-opened', 'visitor')}", 4004),
    ]
    async with arena.attacked():
        for sent, status in head:
            with await Raw.connect(arena.gateway, "127.0.0.2") as raw:
                await raw.send(sent)
                answer = await raw.head()
                assert answer.startswith(b"HTTP/1.1 " + status), (sent[:100], answer)
        for path, code in closes:
            with await upgraded(arena.gateway, path, "127.0.0.2") as raw:
                assert await raw.close_code() == code, path[:100]


async def test_half_open_handshakes(arena: Arena) -> None:
    """Hundreds of handshakes that say nothing, stop half-way or go byte by byte are dropped in time; others join meanwhile."""
    sent = request(room_path(arena, "sloth"))

    async def half(number: int) -> None:
        with await Raw.connect(arena.gateway, f"127.0.1.{number % 250}") as raw:
            if number % 3 == 1:
                await raw.send(sent[: number % len(sent)])
            end = asyncio.create_task(raw.rest())
            with contextlib.suppress(ConnectionError):
                for at in range(len(sent) if number % 3 == 2 else 0):
                    await raw.send(sent[at : at + 1])
                    await asyncio.sleep(0.05)
                    if end.done():
                        break
            assert await end == b"", number

    async with arena.attacked():
        crowd = asyncio.gather(*(half(number) for number in range(600)))
        await asyncio.sleep(0.3)
        with await enter(arena, "guest", "127.0.0.2") as raw:
            await raw.send(frame(HELLO))
            assert (await raw.reply("c1"))["type"] == "accepted"
        await crowd


async def test_a_hundred_thousand_fuzzed_frames(journal: str, arena: Arena) -> None:
    """Valid frames, mutated in their bytes, their JSON and their order, over more than a thousand connections (on Kafka a fifth of it)."""
    frames = 100_000 if journal == "embedded" else 20_000  # the same code reads frames with either journal
    async with arena.attacked():
        before = await arena.metric(TEXTS)
        sent = await fuzz(arena, frames=frames, seconds_max=90)
        assert sent >= frames, "this machine is too slow for the test's bound"
        assert await arena.metric(TEXTS) - before > frames * 0.6, "most frames should have reached the codec"


async def test_a_flood_of_commands(arena: Arena) -> None:
    """A connection that far exceeds its rate is refused, then closed as flooding; every answer before has its id."""
    async with arena.attacked():
        raw = await enter(arena, "flooder", "127.0.0.2")
        flood = b"".join(frame(HELLO.replace(b"c1", b"f%d" % i)) for i in range(10_000))
        sending = asyncio.create_task(raw.send(flood))
        codes = []
        while (got := await raw.frame())[0] in (1, 9):
            codes += [reply.get("code", "accepted")] if got[0] == 1 and "id" in (reply := json.loads(got[1])) else []
        assert got == (8, got[1])
        assert int.from_bytes(got[1][:2], "big") == 4504
        assert codes.count("rate_limited") >= 200
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        raw.reset()


async def test_clients_that_never_read(arena: Arena) -> None:
    """Clients that send commands, pings and bad texts without ever reading cost a bounded buffer each."""

    async def stuff(number: int) -> None:
        raw = await enter(arena, f"deaf-{number}", "127.0.0.3", receive_buffer=2_048)
        sent = [frame(HELLO), frame(b"p" * 125, 9), frame(b'{"id":"' + b"x" * 60 + b'"}')][number % 3] * 200
        try:
            async with asyncio.timeout(DEAF_S):
                while True:
                    await asyncio.get_running_loop().sock_sendall(raw.socket, sent)
        except (TimeoutError, ConnectionError):
            pass
        raw.reset()

    async with arena.attacked():
        await asyncio.gather(*(stuff(number) for number in range(60)))


async def test_churn(arena: Arena) -> None:
    """Clients that connect and reset at any moment, from the first byte to the middle of a frame."""
    path = room_path(arena, "churner")

    async def churn(lane: int) -> None:
        for number in range(100):
            raw = await Raw.connect(arena.gateway, f"127.0.2.{lane + 1}")
            sent = request(path) + frame(HELLO) * 3
            await raw.send(sent[: random.Random(number * 31 + lane).randrange(len(sent))])
            if number % 3 == 0:
                await asyncio.sleep(0.01)
            raw.reset()

    async with arena.attacked():
        await asyncio.gather(*(churn(lane) for lane in range(20)))


@pytest.mark.journal("embedded", "each worker counts an address by itself")
async def test_too_many_from_one_address(arena: Arena) -> None:
    """Connections of one address beyond the limit are answered 429; other addresses and, after they left, its own are not."""
    address = "127.0.0.9"
    statuses: list[bytes] = []
    status = b""
    async with arena.attacked():
        with contextlib.ExitStack() as crowd:
            for number in range(PER_ADDRESS_MAX + 50):
                raw = crowd.enter_context(await Raw.connect(arena.gateway, address))
                await raw.send(request(room_path(arena, f"many-{number}")))
                statuses.append((await raw.head())[9:12])
            assert statuses == [b"101"] * PER_ADDRESS_MAX + [b"429"] * 50
            with await enter(arena, "elsewhere", "127.0.0.10"):
                pass
        async with asyncio.timeout(10):
            while status != b"101":
                with await Raw.connect(arena.gateway, address) as raw:
                    await raw.send(request(room_path(arena, "again")))
                    status = (await raw.head())[9:12]
                await asyncio.sleep(0.1)


async def test_the_console(arena: Arena) -> None:
    """Garbage, giant and endless bodies and heads at the console are refused with a 4xx or hung up on, and never held or a 500."""
    token = arena.server.token(ROOM, "anna")
    post = f"POST /v1/rooms/{ROOM}/commands/send_chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
    attacks = [
        random.randbytes(3_000) + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.randbytes(500),
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /static/../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /static/%2e%2e/%2e%2e/server.py HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /rooms/%00%ff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        f"{post}Content-Length: 10000000000\r\n\r\n".encode() + bytes(1_000_000),
        f"{post}Content-Length: -1\r\n\r\n".encode(),
        f"{post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello".encode(),
        f"{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode(),
        f"{post}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 20,
        f"{post}Transfer-Encoding: chunked\r\n\r\nzzz\r\n".encode(),
        f"{post}Content-Length: 100000\r\n\r\n".encode() + b"[" * 100_000,
        f"{post}Content-Length: 4\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00".encode("latin-1"),
        f"{post}Content-Length: 3\r\nExpect: 200-maybe\r\n\r\nabc".encode(),
    ]

    async def attack(sent: bytes) -> None:
        with await Raw.connect(arena.console, "127.0.0.2") as raw:
            with contextlib.suppress(ConnectionError):  # the answer may be there before all of it was taken
                await raw.send(sent)
            status = (await raw.head())[:12]
            assert status == b"" or (status[:5], status[8:10]) == (b"HTTP/", b" 4"), (sent[:120], status)

    async def linger(number: int) -> Raw:
        raw = await Raw.connect(arena.console, "127.0.0.3")
        await raw.send(b"GET / HTTP/1.1\r\nX: y"[: 1 + number % 20])
        return raw

    async with arena.attacked():
        with contextlib.ExitStack() as crowd:
            slow = [crowd.enter_context(raw) for raw in await asyncio.gather(*(linger(number) for number in range(300)))]
            for sent in attacks:
                await attack(sent)
            with await Raw.connect(arena.console, "127.0.0.2") as pipelined:
                last = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                await pipelined.send(last.replace(b"Connection: close\r\n", b"") * 500 + last)
                assert (await pipelined.rest()).count(b"HTTP/1.1 200 ") == 501
            for raw in slow * 20:
                with contextlib.suppress(ConnectionError):
                    await raw.send(b"z")
