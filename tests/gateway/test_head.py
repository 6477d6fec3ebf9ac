"""Heads of requests: valid ones are read, and all others are a 400 and never a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveroom.gateway.head import HEADERS_MAX, TARGET_BYTES_MAX, BadHead, parse_head, split_target
from liveroom.process.listening import HEAD_BYTES_MAX
from tests.gateway.place import ROOM, WAIT_S, Place, raw, show, token

UPGRADE = b"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"


def test_a_head_is_read_as_it_is() -> None:
    """Names in any case, several values, optional space, bytes that are no ASCII."""
    head = b"GET /v1/rooms/a?b=c HTTP/1.1\r\nHost:x\r\nX-A: 1\r\nx-a:\t2 \r\nCookie: \xff=\xe9\r\nEmpty:\r\n\r\n"
    request = parse_head(head)
    assert request.path == "/v1/rooms/a?b=c"
    assert [*request.headers.raw_items()] == [("Host", "x"), ("X-A", "1"), ("x-a", "2"), ("Cookie", "ÿ=é"), ("Empty", "")]
    assert request.headers.get_all("x-A") == ["1", "2"]


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /  HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1 \r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"G\xc3\xa9T / HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\n: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: 1\n B: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: 1\rB: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x7f\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n",
    ],
)
def test_what_is_no_head_is_told(head: bytes) -> None:
    """A head that two readers could read in two ways is refused."""
    with pytest.raises(BadHead) as caught:
        parse_head(head)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\n\r\n", 405),
        (b"GET /" + b"v" * TARGET_BYTES_MAX + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"A: 1\r\n" * (HEADERS_MAX + 1) + b"\r\n", 431),
    ],
)
def test_what_is_a_request_but_none_of_ours_has_its_own_status(head: bytes, status: int) -> None:
    """HTTP has a status for each: another version, another method, too long, too many."""
    with pytest.raises(BadHead) as caught:
        parse_head(head)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/v1/rooms/a%20b?x=1&y=[z]", "/v1/rooms/a%20b", "x=1&y=[z]"),
        ("//x", "//x", ""),
        ("http://gw.example:8800/v1/rooms/a?b", "/v1/rooms/a", "b"),
        ("HTTPS://gw.example/", "/", ""),
        ("/?", "/", ""),
    ],
)
def test_a_target_has_a_path_and_a_query(target: str, path: str, query: str) -> None:
    """Both of the forms that a server has to take."""
    assert split_target(target) == (path, query)


@pytest.mark.parametrize("target", ["//[", "/[", "*", "x", "http://", "http://[::1", "gw.example:443", "/a#b", "/a\\b", "/a|b", "/{", 'http://u@h/"'])
def test_what_is_no_target_is_told(target: str) -> None:
    """Whatever `urlsplit` would make of it."""
    with pytest.raises(BadHead):
        split_target(target)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_head_or_none(text: bytes) -> None:
    """Nothing else is ever raised."""
    with contextlib.suppress(BadHead):
        split_target(parse_head(text + b"\r\n\r\n").path)
    with contextlib.suppress(BadHead):
        split_target(parse_head(b"GET /" + text + b" HTTP/1.1\r\n\r\n").path)
    with contextlib.suppress(BadHead):
        parse_head(b"GET / HTTP/1.1\r\nA: " + text + b"\r\n\r\n")


async def answer(place: Place, sent: bytes) -> bytes:
    """The status line of what a gateway answers; empty when it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.gateway.port)
    writer.write(sent)
    try:
        with contextlib.suppress(ConnectionError):
            return (await asyncio.wait_for(reader.readline(), WAIT_S)).strip()
        return b""
    finally:
        writer.transport.abort()


async def test_a_page_with_large_cookies_gets_in() -> None:
    """Nine thousand bytes in one line, in whatever pieces they come; beyond the limit it is a 431."""
    async with show() as place:
        (await raw(place, extra=f"Cookie: {'c' * 9_000}\r\n")).close()
        (await raw(place, extra=f"Cookie: {'c' * 16_000}\r\nX: {'y' * 8_000}\r\n")).close()
        for line in (b"Cookie: " + b"c" * HEAD_BYTES_MAX, b"\r\n".join(b"A%d: %s" % (n, b"x" * 400) for n in range(100))):
            head = f"GET /v1/rooms/{ROOM}?token={token('bob')} HTTP/1.1\r\n".encode() + UPGRADE + line + b"\r\n\r\n"
            assert (await answer(place, head)).startswith(b"HTTP/1.1 431 ")
            assert (await answer(place, head[:-4])).startswith(b"HTTP/1.1 431 ")


async def test_malformed_requests_are_400_and_leave_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Targets, lines and headers of every broken kind, made from a good one by chance; others go on, and nothing is logged."""
    drawn = random.Random(9)
    good = f"GET /v1/rooms/{ROOM}?token={token('bob')} HTTP/1.1\r\n".encode() + UPGRADE + b"\r\n"
    async with show() as place, place.viewer("bob") as bob:
        for target in (b"//[", b"/v1/rooms/[", b"http://[/", b"\xff", b"/%", b"/v1/rooms/%ff%00", b"/v1/rooms/demo?%", b"*", b"//[::1]:99999/"):
            status = await answer(place, b"GET " + target + b" HTTP/1.1\r\n" + UPGRADE + b"\r\n")
            assert status.split(b" ")[1] in (b"400", b"404", b"101"), (target, status)
        for _ in range(300):
            sent = bytearray(good)
            for _ in range(drawn.randrange(1, 4)):
                at = drawn.randrange(len(sent) - 4)
                match drawn.randrange(3):
                    case 0:
                        sent[at] = drawn.randrange(256)
                    case 1:
                        del sent[at : at + drawn.randrange(1, 9)]
                    case 2:
                        sent[at:at] = drawn.choice((b"\x00", b"\r\n", b"\n", b" ", b":", b"[", b"\xc3", b"%", b"//", b",", b"=" * 200))
            sent[-4:] = b"\r\n\r\n"
            status = await answer(place, bytes(sent))
            assert status == b"" or status.split(b" ")[1] in (b"101", b"400", b"403", b"404", b"405", b"414", b"505"), (bytes(sent), status)
        assert (await bob.ask("send_likes"))["type"] == "accepted"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
