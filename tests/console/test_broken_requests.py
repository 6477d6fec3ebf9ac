"""Requests that are none: every broken line, header, encoding and body is a 4xx, and leaves no line in the log."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import logging
import random
import zlib
from collections.abc import Iterator

import pytest

from tests.console.live import ANCHOR, WAIT_S, Live, config_of, serve_all

BODY = b'{"title":"t"}'
GET = b"GET /v1/rooms?limit=5&q=a HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"
POST = b"POST /v1/rooms/r1/commands/open_room HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + ANCHOR.encode() + b"\r\n"
LANES = 20


def lines() -> Iterator[bytes]:
    """Targets, methods, versions and headers."""
    targets = (
        *(b"//[", b"/[", b"//[::1", b"http://[", b"http://[::1/", b"http://x:99999/", b"http://x:abc/", b"http:///", b"*", b"x", b"?", b"/#"),
        *(
            b"/%",
            b"/%zz",
            b"/%00",
            b"/\xff",
            b"/\xc3\xa9",
            b"//",
            b"/..",
            b"//@",
            b"//a@[b/",
            b"/v1/rooms/%ff",
            b"/v1/rooms/..%2f",
            b"/rooms/%ed%a0%80",
        ),
        *(
            b"/v1/rooms?limit=\xff",
            b"/v1/rooms?q=%ff&q=%00",
            b"/v1/rooms?after=a%00b",
            b"/v1/rooms?q=%ED%A0%80",
            b"/static/%00",
            b"/static//etc/passwd",
        ),
    )
    for target, method in itertools.product(targets, (b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"get", b"G\xffT")):
        yield method + b" " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    for version in (b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b"HTTP/9.9", b"http/1.1", b"HTTP/1.1 ", b"", b"XTTP/1.1"):
        yield b"GET /livez " + version + b"\r\nHost: x\r\n\r\n"
    headers = (
        *(
            b"Host: [",
            b"Host: \xff",
            b"Host",
            b": x",
            b" a: b",
            b"A : b",
            b"A: b\x00",
            b"A: b\nB: c",
            b"Cookie: a=\xff; =; ;;=",
            b"If-None-Match: \xff",
        ),
        *(
            b'If-None-Match: "',
            b"If-Modified-Since: x",
            b"Range: bytes=z",
            b"Range: bytes=5-1",
            b"Range: bytes=-",
            b"Range: bytes=99999999999999999999-",
        ),
        *(
            b"Accept-Encoding: \xff",
            b"Expect: x",
            b"X-Forwarded-For: \xff,[,::",
            b"Authorization: \xff",
            b"Authorization: Bearer",
            b"Authorization: Bearer \xff",
        ),
        *(b"Content-Length: x", b"Content-Length: -1", b"Content-Length: 99999999999999999999999", b"Content-Length: +5", b"Transfer-Encoding: x"),
        *(b"Upgrade: websocket\r\nConnection: Upgrade", b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAAB"),
    )
    for header, path in itertools.product(headers, (b"/livez", b"/v1/rooms", b"/", b"/rooms/r1", b"/v1/rooms/r1/ledger")):
        yield b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n"


def bodies() -> Iterator[bytes]:
    """Encodings, chunks and JSON."""
    whole = gzip.compress(BODY)
    encoded = (b"\x1f\x8b\x08\x00", b"garbage", whole, whole[:-4], zlib.compress(BODY), zlib.compress(BODY)[:-2], whole + b"trailing", whole + whole)
    for encoding, body in itertools.product(
        (b"gzip", b"deflate", b"br", b"zstd", b"x", b"gzip, gzip", b"GZIP"), (*encoded, gzip.compress(bytes(5_000_000)))
    ):
        head = POST + b"Content-Encoding: " + encoding + b"\r\n"
        yield head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        yield head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    for chunks in (
        *(b"z\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"5;ext=\xff\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n", b"0\r\nbad trailer\r\n\r\n"),
        *(b"0x5\r\nhello\r\n0\r\n\r\n", b"5" + b" " * 5_000 + b"\r\nhello\r\n0\r\n\r\n", b"0\r\n" + b"A: b\r\n" * 500 + b"\r\n"),
    ):
        yield POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    for body in (b"\xff", b"{", b"[]", b"null", b'{"title":"\\ud800"}', b'{"title":1e999}', b"[" * 100_000, b'{"a":' * 20_000, b"x" * 131_073):
        yield POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    for key in (b"\xff", b"x" * 5_000, b"a b", b"\xc3\xa9"):
        yield POST + b"Idempotency-Key: " + key + b"\r\nContent-Length: 13\r\n\r\n" + BODY


def chances(seed: int, count: int) -> Iterator[bytes]:
    """Good requests with a few places changed by chance."""
    drawn = random.Random(seed)
    for _ in range(count):
        sent = bytearray(drawn.choice((POST + b"Content-Length: 13\r\n\r\n" + BODY, GET)))
        for _ in range(drawn.randrange(1, 4)):
            at = drawn.randrange(len(sent))
            match drawn.randrange(4):
                case 0:
                    sent[at] = drawn.randrange(256)
                case 1:
                    del sent[at : at + drawn.randrange(1, 9)]
                case 2:
                    sent[at:at] = drawn.choice((b"\0", b"\r\n", b"\n", b" ", b":", b"[", b"\xc3", b"%", b"//", b",", b"=" * 200, b"\r\n\r\n"))
                case 3:
                    sent[at:at] = sent[at : at + drawn.randrange(1, 60)]
        yield bytes(sent)


async def status_of(live: Live, sent: bytes) -> int:
    """The status of the answer; 0 if the console hangs up, as on a request that never ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.console.port)
    writer.write(sent)
    try:
        with contextlib.suppress(ConnectionError):
            line = await asyncio.wait_for(reader.readline(), WAIT_S)
            return int(line.split(b" ")[1]) if line else 0
        return 0
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("kind", ["lines", "bodies", "chances"])
async def test_no_request_is_an_error_of_ours(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is answered 500 or has a traceback, whatever is sent; the next one is served."""
    requests = lines() if kind == "lines" else bodies() if kind == "bodies" else chances(9, 400)
    async with serve_all(config_of(head_ms=500)) as live:

        async def lane() -> None:
            for sent in requests:
                status = await status_of(live, sent)
                assert status < 500, (status, sent[:60], sent[-200:])

        await asyncio.gather(*(lane() for _ in range(LANES)))
        assert (await live.get("/livez")).status == 200
    assert not [(record.name, record.getMessage()) for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
async def test_a_body_that_is_not_what_its_encoding_says_is_a_400(live: Live, encoding: str) -> None:
    """The answer is a problem with a code, and the connection ends."""
    answer = await live.ask("POST", "/v1/rooms/r1/commands/open_room", token=ANCHOR, headers={"Content-Encoding": encoding}, body=b"garbage")
    assert (answer.status, answer.json["code"]) == (400, "bad_request")
    assert "Content-Encoding" in answer.json["detail"]
